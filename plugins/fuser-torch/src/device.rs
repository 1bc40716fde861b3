//! Which device members are fused on.

use bomf_plugin_api::{FuserDevice, FuserDeviceKind, PluginError, Result};
use tch::{Cuda, Device};

use crate::TYPES;

/// The device that the options ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The first CUDA device, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device.
    Cuda(usize),
}

impl Wanted {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Wanted::Auto),
            "cpu" => Ok(Wanted::Cpu),
            "cuda" => Ok(Wanted::Cuda(0)),
            other => {
                let index = other.strip_prefix("cuda:").map(str::parse);
                let Some(Ok(index)) = index else {
                    return Err(PluginError::input(format!(
                        "found `device: {other}`, expected `auto`, `cpu`, `cuda` or `cuda:N`"
                    )));
                };
                Ok(Wanted::Cuda(index))
            }
        }
    }

    /// The device itself, if it is there.
    pub(crate) fn resolve(self) -> Result<Device> {
        let there = usize::try_from(Cuda::device_count()).unwrap_or(0);
        match self {
            Wanted::Auto if there > 0 => Ok(Device::Cuda(0)),
            Wanted::Auto | Wanted::Cpu => Ok(Device::Cpu),
            Wanted::Cuda(index) if index < there => Ok(Device::Cuda(index)),
            Wanted::Cuda(index) => Err(PluginError::unsupported(format!(
                "found {there} CUDA devices, expected one with the number {index}"
            ))
            .hint(
                "LibTorch sees a GPU if it was built with CUDA (a build for the CPU was not) and NVIDIA's driver is installed; \
                 `device: cpu` fuses without",
            )),
        }
    }
}

/// What a host is told that chooses a fuser by itself.
pub(crate) fn describe(device: Device) -> FuserDevice {
    let (name, kind) = match device {
        Device::Cuda(index) => (format!("CUDA device {index}"), FuserDeviceKind::Gpu),
        _ => ("the CPU".to_owned(), FuserDeviceKind::Cpu),
    };
    FuserDevice::new(name, kind, &TYPES).copies_members()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_from_their_names() {
        for (text, expected) in [
            ("auto", Wanted::Auto),
            ("cpu", Wanted::Cpu),
            ("cuda", Wanted::Cuda(0)),
            ("cuda:12", Wanted::Cuda(12)),
        ] {
            assert_eq!(Wanted::parse(text).unwrap(), expected);
        }
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            let error = Wanted::parse(text).unwrap_err();
            assert!(error.message.contains("`cuda:N`"), "{error}");
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error_that_counts_those_that_are() {
        let error = Wanted::Cuda(usize::MAX).resolve().unwrap_err();
        assert!(error.message.contains("CUDA devices"), "{error}");
        assert_eq!(Wanted::Cpu.resolve().unwrap(), Device::Cpu);
        assert_eq!(describe(Device::Cpu).kind, FuserDeviceKind::Cpu);
        assert_eq!(describe(Device::Cuda(3)).kind, FuserDeviceKind::Gpu);
    }
}
