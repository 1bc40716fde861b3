//! Free memory of GPUs, asked of their drivers: AMD's on Linux, and NVIDIA's by `nvidia-smi`.

use std::path::Path;
use std::process::Command;

use bomf_plugin_api::FuserDevice;

/// Free bytes of a device, where a driver tells. Of one without an address it is the least of all: which of them it is,
/// is not known.
pub(super) fn free_bytes(device: &FuserDevice) -> Option<u64> {
    let address = device.pci_address.as_deref();
    let of_amd = address
        .and_then(|address| amd(&Path::new("/sys/bus/pci/devices").join(address.to_lowercase())));
    of_amd.or_else(|| nvidia(&nvidia_smi()?, address))
}

/// From the files that the driver keeps in a device's folder.
fn amd(folder: &Path) -> Option<u64> {
    let read = |name: &str| -> Option<u64> {
        std::fs::read_to_string(folder.join(name))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    let total = read("mem_info_vram_total")?;
    total.checked_sub(read("mem_info_vram_used")?)
}

fn nvidia_smi() -> Option<String> {
    let query = [
        "--query-gpu=pci.bus_id,memory.free",
        "--format=csv,noheader,nounits",
    ];
    let output = Command::new("nvidia-smi").args(query).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// From lines such as `00000000:01:00.0, 22500`, in MiB.
fn nvidia(lines: &str, address: Option<&str>) -> Option<u64> {
    let address = address.map(str::to_lowercase);
    let lines = lines.lines().filter_map(|line| {
        let (bus, mib) = line.split_once(',')?;
        // The driver writes the domain with eight digits.
        let is_it = address
            .as_ref()
            .is_none_or(|address| bus.trim().to_lowercase().ends_with(address));
        is_it.then(|| mib.trim().parse::<u64>().ok())?
    });
    lines.min().map(|mib| mib << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "00000000:01:00.0, 22500\n00000000:C1:00.0, 300\n";

    #[test]
    fn a_gpu_is_found_by_its_address() {
        assert_eq!(nvidia(LINES, Some("0000:01:00.0")), Some(22500 << 20));
        assert_eq!(nvidia(LINES, Some("0000:c1:00.0")), Some(300 << 20));
        assert_eq!(nvidia(LINES, Some("0000:02:00.0")), None);
    }

    #[test]
    fn without_an_address_the_fullest_counts() {
        assert_eq!(nvidia(LINES, None), Some(300 << 20));
        assert_eq!(nvidia("", None), None);
        assert_eq!(nvidia("No devices were found\n", None), None);
        assert_eq!(nvidia("00000000:01:00.0, [N/A]\n", None), None);
    }

    #[test]
    fn amds_driver_says_what_is_used() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(amd(folder.path()), None);
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("mem_info_vram_total", "17163091968\n");
        assert_eq!(amd(folder.path()), None);
        write("mem_info_vram_used", "163091968\n");
        assert_eq!(amd(folder.path()), Some(17_000_000_000));
    }
}
