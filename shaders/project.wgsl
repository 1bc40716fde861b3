// Inner products of members with a gradient: sums[run * members + m] = sum over the run's elements of members[m] * gradient.
// A workgroup takes a run of 1024 vectors, of which an invocation takes every 256th; the CPU adds the runs in f64.

@group(1) @binding(0) var<storage, read_write> sums: array<f32>;

const VECTORS = 4u;

var<workgroup> shares: array<f32, 256>;

fn product(member: u32, vector: u32) -> f32 {
    let x = numbers(member, vector);
    if (chunk.storage == 0u) {
        return dot(x.low, elements[vector]);
    }
    return dot(x.low, elements[2u * vector]) + dot(x.high, elements[2u * vector + 1u]);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let run = workgroup.y * workgroups.x + workgroup.x;
    let start = run * VECTORS * 256u + local;
    for (var m = 0u; m < chunk.members; m++) {
        var sum = 0.0;
        for (var k = 0u; k < VECTORS; k++) {
            let vector = start + k * 256u;
            if (vector < chunk.vectors) {
                sum += product(m, vector);
            }
        }
        shares[local] = sum;
        workgroupBarrier();
        for (var half = 128u; half > 0u; half >>= 1u) {
            if (local < half) {
                shares[local] += shares[local + half];
            }
            workgroupBarrier();
        }
        if (local == 0u) {
            sums[run * chunk.members + m] = shares[0];
        }
        // Nobody may write before the first has read.
        workgroupBarrier();
    }
}
