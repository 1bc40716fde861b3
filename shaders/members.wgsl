// What the kernels have in common: the members of a chunk, as they are stored. Put before each kernel. See README.md.

struct Chunk {
    // Elements of one member in this chunk, in vectors of 16 bytes.
    vectors: u32,
    // Number of members.
    members: u32,
    // First coefficient of this chunk's group.
    row: u32,
    // How elements are stored: 0 f32, 1 bf16, 2 f16.
    storage: u32,
    // Vectors per row of workgroups: dispatches are two-dimensional.
    stride: u32,
}

@group(0) @binding(0) var<uniform> chunk: Chunk;
@group(0) @binding(1) var<storage, read> coefficients: array<f32>;
@group(0) @binding(2) var<storage, read> members: array<vec4<u32>>;
// One f32 per element: what fusion writes, and where a projection finds the gradient.
@group(0) @binding(3) var<storage, read_write> elements: array<vec4<f32>>;

// The elements behind 16 bytes: four of f32, in `low`, or eight halves.
struct Numbers {
    low: vec4<f32>,
    high: vec4<f32>,
}

fn halves(word: u32) -> vec2<f32> {
    if (chunk.storage == 1u) {
        return vec2<f32>(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
    }
    return unpack2x16float(word);
}

fn numbers(member: u32, vector: u32) -> Numbers {
    let stored = members[member * chunk.vectors + vector];
    if (chunk.storage == 0u) {
        return Numbers(bitcast<vec4<f32>>(stored), vec4<f32>(0.0));
    }
    return Numbers(
        vec4<f32>(halves(stored.x), halves(stored.y)),
        vec4<f32>(halves(stored.z), halves(stored.w)),
    );
}
