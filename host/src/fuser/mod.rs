//! Which fuser a run uses: the one that is named, or with `use: auto` the one that suits the members and the machine.

mod gpu_memory;

use bomf_plugin_api::{Context, Dtype, Fuser, FuserDevice, FuserDeviceKind, Kind, Member};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::UseConfig;
use crate::registry::{Fault, Registry};

/// The name that leaves the choice to this module.
pub const AUTO: &str = "auto";

/// Members smaller than this are fused by the CPU in less time, all in all, than it takes to open a GPU.
const SMALL: u64 = 256 << 20;
/// Free memory of a GPU that tells nobody how much it has: most have more.
const ASSUMED: u64 = 2 << 30;

/// The fuser that was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What configurations call it.
    pub name: String,
    /// Why, where nobody named it.
    pub because: Option<String>,
}

impl Choice {
    /// A fuser that was named.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            because: None,
        }
    }
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.name)?;
        match &self.because {
            Some(because) => write!(f, ", because {because}"),
            None => Ok(()),
        }
    }
}

/// What is known of members before a fuser has them.
#[derive(Debug, Clone)]
pub struct Size {
    members: u64,
    bytes: u64,
    dtypes: Vec<Dtype>,
}

impl Size {
    /// The size of members that are there.
    pub fn of(members: &[Member]) -> Self {
        let tensors = || members.iter().flat_map(|member| &member.tensors);
        let mut dtypes = Vec::new();
        for dtype in tensors().map(|tensor| tensor.spec().dtype) {
            if !dtypes.contains(&dtype) {
                dtypes.push(dtype);
            }
        }
        Self {
            members: members.len() as u64,
            bytes: tensors().map(|tensor| tensor.data().len() as u64).sum(),
            dtypes,
        }
    }

    /// The size of so many members of so many bytes in f32.
    pub fn expected(members: u64, bytes_of_one: u64) -> Self {
        Self {
            members,
            bytes: members * bytes_of_one,
            dtypes: vec![Dtype::F32],
        }
    }

    /// What a session with a copy of the members takes: them, a result, and what it is made and fetched with.
    fn copied(&self) -> u64 {
        self.bytes + 3 * self.bytes / self.members.max(1)
    }
}

/// Opens the named fuser, so that what it lacks is found before a training; `None` with `auto`, which is chosen when the
/// members are there.
pub fn open_named(
    config: &UseConfig,
    registry: &Registry,
    context: &Context,
) -> Result<Option<Box<dyn Fuser>>, Fault> {
    if config.plugin == AUTO {
        return Ok(None);
    }
    let options = Value::Object(config.options.clone());
    registry.fuser(&config.plugin, &options, context).map(Some)
}

/// Chooses among all fusers, by what they say they could work on here. Libraries are opened one after the other, as far as
/// one is needed.
///
/// # Errors
/// When no fuser can be used; says what is wrong with each.
pub fn choose(registry: &Registry, context: &Context, size: &Size) -> Result<Choice, Fault> {
    let mut candidates = Vec::new();
    for (_, descriptor) in registry.components(Kind::Fuser) {
        let name = descriptor.name.clone();
        let fuser = registry.fuser(&name, &json!({}), context);
        let devices = fuser
            .map_err(|fault| fault.message)
            .and_then(|fuser| fuser.devices().map_err(|error| error.message));
        let candidate = Candidate { name, devices };
        let is_enough = size.bytes < SMALL && candidate.reads_in_place(size);
        candidates.push(candidate);
        if is_enough {
            break;
        }
    }
    decide(candidates, size, gpu_memory::free_bytes)
}

/// A fuser, and what it could work on.
struct Candidate {
    name: String,
    devices: Result<Vec<FuserDevice>, String>,
}

impl Candidate {
    /// Whether it works on the CPU and leaves members where they are.
    fn reads_in_place(&self, size: &Size) -> bool {
        let in_place = |device: &FuserDevice| {
            device.kind == FuserDeviceKind::Cpu && !device.copies && takes(device, size)
        };
        self.devices
            .as_ref()
            .is_ok_and(|devices| devices.iter().any(in_place))
    }
}

fn takes(device: &FuserDevice, size: &Size) -> bool {
    size.dtypes
        .iter()
        .all(|dtype| device.members.contains(dtype))
}

/// The GPU with most memory among those that the members fit into; else the CPU.
fn decide(
    candidates: Vec<Candidate>,
    size: &Size,
    free_bytes: impl Fn(&FuserDevice) -> Option<u64>,
) -> Result<Choice, Fault> {
    let mut best: Option<(u64, Choice)> = None;
    let (mut on_cpu, mut against) = (Vec::new(), Vec::new());
    let need = size.copied();
    for candidate in candidates {
        let name = &candidate.name;
        let devices = match candidate.devices {
            Ok(devices) => devices,
            Err(why) => {
                against.push(format!("`{name}` cannot be used ({why})"));
                continue;
            }
        };
        for device in &devices {
            match judge(device, size, need, &free_bytes) {
                Verdict::Gpu(free, because)
                    if best.as_ref().is_none_or(|(most, _)| free > *most) =>
                {
                    let because = Some(because);
                    let name = name.clone();
                    best = Some((free, Choice { name, because }));
                }
                Verdict::Gpu(..) => {}
                Verdict::Cpu => on_cpu.push((device.copies, name.clone())),
                Verdict::No(why) => against.push(format!("{} {why}", device.name)),
            }
        }
    }
    if let Some((_, choice)) = best {
        return Ok(choice);
    }
    // Sorting is stable: the first of those that need no copy.
    on_cpu.sort_by_key(|(copies, _)| *copies);
    let because = match (size.bytes < SMALL, against.is_empty()) {
        (true, _) => format!(
            "members of {} are fused before a GPU is open",
            shown(size.bytes)
        ),
        (false, true) => "no fuser found a GPU".to_owned(),
        (false, false) => against.join("; "),
    };
    match on_cpu.into_iter().next() {
        Some((_, name)) => Ok(Choice {
            name,
            because: Some(because),
        }),
        None => Err(Fault::no_fuser(&against.join("; "))),
    }
}

enum Verdict {
    /// So many bytes are free, and why it is good.
    Gpu(u64, String),
    Cpu,
    No(String),
}

fn judge(
    device: &FuserDevice,
    size: &Size,
    need: u64,
    free_bytes: &impl Fn(&FuserDevice) -> Option<u64>,
) -> Verdict {
    if !takes(device, size) {
        return Verdict::No(format!(
            "does not take members of all types among {:?}",
            size.dtypes
        ));
    }
    match device.kind {
        FuserDeviceKind::Cpu => Verdict::Cpu,
        FuserDeviceKind::Gpu if size.bytes < SMALL => {
            Verdict::No("takes longer to open".to_owned())
        }
        FuserDeviceKind::Gpu => {
            let known = device.free_bytes.or_else(|| free_bytes(device));
            let free = known.unwrap_or(ASSUMED);
            let about = if known.is_some() { "" } else { "perhaps " };
            let (free_shown, need_shown) = (shown(free), shown(need));
            match need <= free {
                true => Verdict::Gpu(
                    free,
                    format!(
                        "{} has {about}{free_shown} free and {need_shown} are needed",
                        device.name
                    ),
                ),
                false => Verdict::No(format!(
                    "has {about}{free_shown} free where {need_shown} are needed"
                )),
            }
        }
        FuserDeviceKind::SharedGpu => Verdict::No("has no memory of its own".to_owned()),
        _ => Verdict::No("is no GPU but a processor that stands in for one".to_owned()),
    }
}

fn shown(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    match mib {
        _ if mib < 1.0 => format!("{bytes} bytes"),
        _ if mib < 1024.0 => format!("{mib:.0} MiB"),
        _ => format!("{:.1} GiB", mib / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Dtype; 4] = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::F64];

    fn large() -> Size {
        Size::expected(10, 400 << 20)
    }

    fn candidate(name: &str, kind: FuserDeviceKind) -> Candidate {
        let device = FuserDevice::new(format!("<{name}>"), kind, &ALL);
        let device = match kind {
            FuserDeviceKind::Cpu => device,
            _ => device.copies_members(),
        };
        Candidate {
            name: name.to_owned(),
            devices: Ok(vec![device]),
        }
    }

    fn with_free(mut candidate: Candidate, bytes: u64) -> Candidate {
        candidate.devices.as_mut().unwrap()[0].free_bytes = Some(bytes);
        candidate
    }

    fn cpu() -> Candidate {
        candidate("cpu", FuserDeviceKind::Cpu)
    }

    fn gpu(name: &str) -> Candidate {
        candidate(name, FuserDeviceKind::Gpu)
    }

    fn line(candidates: Vec<Candidate>, size: &Size) -> String {
        decide(candidates, size, |_| None).unwrap().to_string()
    }

    #[test]
    fn a_gpu_that_the_members_fit_into_is_taken() {
        let found = line(vec![cpu(), with_free(gpu("wgpu"), 8 << 30)], &large());
        assert_eq!(
            found,
            "wgpu, because <wgpu> has 8.0 GiB free and 5.1 GiB are needed"
        );
        let two = vec![
            with_free(gpu("torch"), 8 << 30),
            with_free(gpu("wgpu"), 9 << 30),
        ];
        assert!(line(two, &large()).starts_with("wgpu, "));
        let alike = vec![
            with_free(gpu("torch"), 8 << 30),
            with_free(gpu("wgpu"), 8 << 30),
        ];
        assert!(line(alike, &large()).starts_with("torch, "));
    }

    #[test]
    fn a_gpu_that_is_too_small_is_not() {
        let found = line(vec![cpu(), with_free(gpu("wgpu"), 4 << 30)], &large());
        assert_eq!(
            found,
            "cpu, because <wgpu> has 4.0 GiB free where 5.1 GiB are needed"
        );
    }

    #[test]
    fn memory_that_the_fuser_does_not_know_is_asked_of_the_driver() {
        let candidates = || vec![cpu(), gpu("wgpu")];
        let found = decide(candidates(), &large(), |_| Some(6 << 30)).unwrap();
        assert_eq!(found.name, "wgpu");
        let found = line(candidates(), &large());
        assert_eq!(
            found,
            "cpu, because <wgpu> has perhaps 2.0 GiB free where 5.1 GiB are needed"
        );
        let found = line(candidates(), &Size::expected(10, 100 << 20));
        assert!(
            found.contains("wgpu, because <wgpu> has perhaps 2.0 GiB"),
            "{found}"
        );
    }

    #[test]
    fn software_and_shared_gpus_are_never_taken() {
        let candidates = vec![
            candidate("soft", FuserDeviceKind::Software),
            candidate("shared", FuserDeviceKind::SharedGpu),
            cpu(),
        ];
        assert_eq!(
            line(candidates, &large()),
            "cpu, because <soft> is no GPU but a processor that stands in for one; \
             <shared> has no memory of its own"
        );
    }

    #[test]
    fn small_members_stay_on_the_cpu() {
        let candidates = vec![with_free(gpu("wgpu"), 80 << 30), cpu()];
        assert_eq!(
            line(candidates, &Size::expected(15, 5 << 20)),
            "cpu, because members of 75 MiB are fused before a GPU is open"
        );
    }

    #[test]
    fn members_are_fused_by_one_who_takes_their_type() {
        let mut without_f64 = with_free(gpu("wgpu"), 80 << 30);
        without_f64.devices.as_mut().unwrap()[0].members = vec![Dtype::F32];
        let size = Size {
            dtypes: vec![Dtype::F32, Dtype::F64],
            ..large()
        };
        let found = line(vec![without_f64, cpu()], &size);
        assert!(
            found.starts_with("cpu, because <wgpu> does not take"),
            "{found}"
        );
    }

    #[test]
    fn on_the_cpu_members_are_rather_left_where_they_are() {
        let mut copies = candidate("torch", FuserDeviceKind::Cpu);
        copies.devices.as_mut().unwrap()[0].copies = true;
        assert!(line(vec![copies, cpu()], &large()).starts_with("cpu, "));
    }

    #[test]
    fn a_fuser_that_cannot_be_used_is_named_and_so_is_the_lack_of_any() {
        let broken = || Candidate {
            name: "torch".to_owned(),
            devices: Err("found no libtorch".to_owned()),
        };
        let found = line(vec![broken(), cpu()], &large());
        assert!(
            found.contains("`torch` cannot be used (") && found.contains("no libtorch"),
            "{found}"
        );
        let fault = decide(vec![broken()], &large(), |_| None).unwrap_err();
        assert!(fault.message.contains("no libtorch"), "{}", fault.message);
    }
}
