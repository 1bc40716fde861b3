//! OpenGL is opened last. In a process of its own: libraries stay open once they are.
#![cfg(target_os = "linux")]

use fuser_wgpu::{Backend, Gpu, Options};

/// Whether this process has opened what OpenGL is reached through.
fn is_open() -> bool {
    std::fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains("libEGL"))
}

#[test]
fn opengl_stays_closed_where_vulkan_has_an_adapter() {
    let on = |backend| {
        Gpu::open(&Options {
            backend,
            ..Options::default()
        })
    };
    match on(Some(Backend::Vulkan)) {
        Ok(_) => {}
        Err(error) if std::env::var_os("REQUIRE_GPU").is_some() => {
            panic!("REQUIRE_GPU is set: {error}")
        }
        Err(error) => return eprintln!("SKIPPED: {error}"),
    }
    assert!(on(None).is_ok() && !is_open());
    // And it would have been noticed.
    if on(Some(Backend::Gl)).is_ok() {
        assert!(is_open());
    }
}
