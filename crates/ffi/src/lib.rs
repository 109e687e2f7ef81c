//! libvaccel.so and libvaccel.a
