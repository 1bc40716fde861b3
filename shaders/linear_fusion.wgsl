// Weighted sum of members: out[i] = sum over m of coefficients[row + m] * members[m * quads + i].
// One invocation makes four neighbouring elements. See README.md for the bindings.

struct Chunk {
    // Elements of one member in this chunk, in groups of four.
    quads: u32,
    // Number of members.
    members: u32,
    // First coefficient of this chunk's group.
    row: u32,
    // Groups of four per row of workgroups: dispatches are two-dimensional.
    stride: u32,
}

@group(0) @binding(0) var<uniform> chunk: Chunk;
@group(0) @binding(1) var<storage, read> coefficients: array<f32>;
@group(0) @binding(2) var<storage, read> members: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> fused: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * chunk.stride + id.x;
    if (i >= chunk.quads) {
        return;
    }
    var sum = vec4<f32>(0.0);
    for (var m = 0u; m < chunk.members; m++) {
        let c = coefficients[chunk.row + m];
        // Members with the coefficient zero take no part, whatever they hold.
        if (c != 0.0) {
            sum += c * members[m * chunk.quads + i];
        }
    }
    fused[i] = sum;
}
