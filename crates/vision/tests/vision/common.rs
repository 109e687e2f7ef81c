//! What the tests of this crate share.

use vaccel_vision::{
    Answer, Description, Findings, Picture, Result, TensorShape, TensorView, Vision,
};

/// A small generator of random numbers (xorshift64*), the same on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// 0 to `end - 1`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.bits() >> 33) as usize % end
    }

    /// 0 to 1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 24) as f32
    }

    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Values like those of a model, and now and then one that no model should give.
    pub(crate) fn wild(&mut self) -> f32 {
        match self.below(40) {
            0 => f32::NAN,
            1 => f32::INFINITY,
            2 => f32::NEG_INFINITY,
            3 => f32::MAX,
            4 => -1e30,
            5..=20 => self.unit(),
            _ => self.between(-50.0, 700.0),
        }
    }
}

/// A description with the given keys of `[input]` and `[output]`.
pub(crate) fn describe(task: &str, input: &str, output: &str) -> Description {
    text(task, input, output).parse().unwrap()
}

pub(crate) fn text(task: &str, input: &str, output: &str) -> String {
    format!("[model]\nname = \"test\"\ntask = \"{task}\"\n[input]\n{input}\n[output]\n{output}\n")
}

/// A model with an input of `width` by `height`, whose picture has the given size.
pub(crate) struct Model {
    pub(crate) vision: Vision,
    pub(crate) picture: (u32, u32),
}

impl Model {
    pub(crate) fn new(
        task: &str,
        input: &str,
        output: &str,
        size: (usize, usize),
        picture: (u32, u32),
    ) -> Self {
        let shape = TensorShape::f32("input", &[1, 3, size.1, size.0]);
        Self {
            vision: Vision::new(describe(task, input, output), &[shape]).unwrap(),
            picture,
        }
    }

    pub(crate) fn answer(&self, outputs: &[TensorView<'_>]) -> Result<Answer> {
        let prepared = self
            .vision
            .prepare_picture(gray(self.picture.0, self.picture.1))
            .unwrap();
        self.vision.finish(prepared.frame, outputs)
    }

    pub(crate) fn findings(&self, outputs: &[TensorView<'_>]) -> Findings {
        self.answer(outputs).unwrap().outcome().findings.clone()
    }

    pub(crate) fn error(&self, outputs: &[TensorView<'_>]) -> String {
        self.answer(outputs).unwrap_err().to_string()
    }
}

pub(crate) fn gray(width: u32, height: u32) -> Picture {
    Picture::new(
        width,
        height,
        vec![128; width as usize * height as usize * 3],
    )
    .unwrap()
}

pub(crate) fn close(a: f32, b: f32, tolerance: f32) -> bool {
    (a - b).abs() <= tolerance
}
