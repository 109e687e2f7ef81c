//! A description meets the model's input tensor.

use vaccel_vision::{ElementType, TensorShape, Vision};

use crate::common::describe;

fn shape(input: &str, dims: &[usize]) -> Result<Vec<usize>, String> {
    open_shape(input, &dims.iter().copied().map(Some).collect::<Vec<_>>())
}

fn open_shape(input: &str, dims: &[Option<usize>]) -> Result<Vec<usize>, String> {
    let tensor = TensorShape {
        name: "image".to_owned(),
        dims: dims.to_vec(),
        element: ElementType::F32,
    };
    Vision::new(describe("classify", input, "format = 'logits'"), &[tensor])
        .map(|vision| vision.input_shape().to_vec())
        .map_err(|e| e.to_string())
}

#[test]
fn size_and_layout_come_from_the_tensor_where_the_description_is_silent() {
    assert_eq!(shape("", &[1, 3, 20, 30]), Ok(vec![1, 3, 20, 30]));
    assert_eq!(shape("", &[1, 20, 30, 3]), Ok(vec![1, 20, 30, 3]));
    assert_eq!(
        shape("channels = 'gray'", &[1, 28, 28, 1]),
        Ok(vec![1, 28, 28, 1])
    );
    assert_eq!(shape("", &[3, 20, 30]), Ok(vec![3, 20, 30]));
    let size = "width = 30\nheight = 20";
    assert_eq!(open_shape(size, &[None; 4]), Ok(vec![1, 3, 20, 30]));
    assert_eq!(
        open_shape(size, &[None, None, None, Some(3)]),
        Ok(vec![1, 20, 30, 3])
    );
    assert_eq!(
        open_shape("", &[None, Some(3), Some(20), Some(30)]),
        Ok(vec![1, 3, 20, 30])
    );
    assert_eq!(
        shape("layout = 'nhwc'", &[1, 3, 5, 3]),
        Ok(vec![1, 3, 5, 3])
    );
}

#[test]
fn contradictions_are_told() {
    let says = |result: Result<Vec<usize>, String>, words: &str| {
        let message = result.unwrap_err();
        assert!(message.contains(words), "{message}");
    };
    says(
        shape("width = 31", &[1, 3, 20, 30]),
        "`input.width` is 31, the model takes 30",
    );
    says(
        shape("channels = 'gray'", &[1, 3, 20, 30]),
        "takes 3 channels",
    );
    says(
        shape("layout = 'nhwc'", &[1, 3, 20, 30]),
        "takes 30 channels",
    );
    says(shape("", &[8, 3, 20, 30]), "takes 8 pictures at once");
    says(shape("", &[1, 300]), "has 2 dimensions");
    says(
        shape("", &[1, 3, 20, 90_000]),
        "width 90000 is not 1 to 8192",
    );
    says(shape("", &[1, 3, 0, 30]), "height 0 is not 1 to 8192");
    says(open_shape("width = 30", &[None; 4]), "set `input.height`");
    says(
        shape("resize = 'center-crop'\nresize_to = 25", &[1, 3, 20, 30]),
        "`input.resize_to` is 25",
    );
    says(
        shape("name = 'picture'", &[1, 3, 20, 30]),
        "names `picture`, the model has: image",
    );
}

#[test]
fn types_that_take_no_picture_and_unread_labels_are_refused() {
    let tensor = TensorShape {
        element: ElementType::Other,
        ..TensorShape::f32("image", &[1, 3, 4, 4])
    };
    let description = describe("classify", "", "format = 'logits'");
    assert!(
        Vision::new(description, &[tensor])
            .unwrap_err()
            .to_string()
            .contains("neither f32, f16 nor u8")
    );
    let description = describe(
        "classify",
        "width = 4\nheight = 4",
        "format = 'logits'\nlabels = 'l.txt'",
    );
    assert!(
        Vision::new(description, &[])
            .unwrap_err()
            .to_string()
            .contains("l.txt was not read")
    );
    let mut description = describe("classify", "width = 4\nheight = 4", "format = 'logits'");
    description.input.width = Some(0);
    assert!(Vision::new(description, &[]).is_err());
}

#[test]
fn the_named_input_is_taken_among_several() {
    let inputs = [
        TensorShape::f32("sizes", &[1, 2]),
        TensorShape::f32("image", &[1, 3, 20, 30]),
    ];
    let vision = Vision::new(
        describe("classify", "name = 'image'", "format = 'logits'"),
        &inputs,
    )
    .unwrap();
    assert_eq!(vision.input_shape(), [1, 3, 20, 30]);
}
