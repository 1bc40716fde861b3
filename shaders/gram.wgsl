// Inner products of centred members: sums[..] = sum over elements of (w_i - mean) * (w_j - mean).
//
// The workgroup (x, y, z) takes 64 tiles of 8 vectors, and a pair z of blocks of 16 members; its invocation (a, b) takes one
// pair of members. Differences from the first member are exact where members are close; their mean is kept in two f32. A tile's
// products are summed in f32, tiles in two f32 (`high` is the sum, `low` what its roundings lost), and workgroups by the CPU in f64.

@group(1) @binding(0) var<storage, read_write> sums: array<vec2<f32>>;

const TILES = 64u;
const TILE = 8u;
const BLOCK = 16u;
// Elements of a row of the tile, and one more, so that rows begin in different banks.
const ROW = 65u;

var<workgroup> centred: array<f32, 2080>;
var<workgroup> first: array<Numbers, 8>;
var<workgroup> mean: array<Numbers, 8>;
var<workgroup> mean_low: array<Numbers, 8>;

// What is lost when b is added to a and the sum is rounded (Knuth, TAOCP 2, 4.2.2).
fn lost(a: vec4<f32>, b: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
    let b_part = sum - a;
    return (a - (sum - b_part)) + (b - b_part);
}

// Mean of the differences from the first member, of one vector of the tile.
fn take_mean(column: u32, vector: u32) {
    let origin = numbers(0u, vector);
    var low = vec4<f32>(0.0);
    var high = vec4<f32>(0.0);
    var low_rest = vec4<f32>(0.0);
    var high_rest = vec4<f32>(0.0);
    for (var m = 1u; m < chunk.members; m++) {
        let x = numbers(m, vector);
        let d_low = x.low - origin.low;
        let d_high = x.high - origin.high;
        let sum_low = low + d_low;
        let sum_high = high + d_high;
        low_rest += lost(low, d_low, sum_low);
        high_rest += lost(high, d_high, sum_high);
        low = sum_low;
        high = sum_high;
    }
    let n = f32(chunk.members);
    let mean_of_low = low / n;
    let mean_of_high = high / n;
    first[column] = origin;
    mean[column] = Numbers(mean_of_low, mean_of_high);
    mean_low[column] = Numbers(
        (fma(-mean_of_low, vec4<f32>(n), low) + low_rest) / n,
        (fma(-mean_of_high, vec4<f32>(n), high) + high_rest) / n,
    );
}

// One vector of one member, centred, into a row of the tile; zeros beyond the members and the elements.
fn put(row: u32, column: u32, member: u32, vector: u32) {
    var low = vec4<f32>(0.0);
    var high = vec4<f32>(0.0);
    if (member < chunk.members && vector < chunk.vectors) {
        let x = numbers(member, vector);
        low = ((x.low - first[column].low) - mean[column].low) - mean_low[column].low;
        high = ((x.high - first[column].high) - mean[column].high) - mean_low[column].high;
    }
    let at = row * ROW + column * 8u;
    for (var lane = 0u; lane < 4u; lane++) {
        centred[at + lane] = low[lane];
        centred[at + 4u + lane] = high[lane];
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    // 1. The pair of blocks: (0, 0), (1, 0), (1, 1), (2, 0), ...
    var block_i = 0u;
    var block_j = workgroup.z;
    while (block_j > block_i) {
        block_j -= block_i + 1u;
        block_i++;
    }
    let a = local / BLOCK;
    let b = local % BLOCK;
    let run = workgroup.y * workgroups.x + workgroup.x;

    // 2. Tile after tile.
    var high = 0.0;
    var low = 0.0;
    let row = local / TILE;
    let column = local % TILE;
    let member = select(block_j * BLOCK + row - BLOCK, block_i * BLOCK + row, row < BLOCK);
    for (var tile = 0u; tile < TILES; tile++) {
        let vector = (run * TILES + tile) * TILE + column;
        if (local < TILE && vector < chunk.vectors) {
            take_mean(column, vector);
        }
        workgroupBarrier();
        put(row, column, member, vector);
        workgroupBarrier();
        var sum = 0.0;
        for (var k = 0u; k < 64u; k++) {
            sum += centred[a * ROW + k] * centred[(BLOCK + b) * ROW + k];
        }
        let total = high + sum;
        let part = total - high;
        low += (high - (total - part)) + (sum - part);
        high = total;
        workgroupBarrier();
    }
    let runs = workgroups.x * workgroups.y;
    sums[(workgroup.z * runs + run) * 256u + local] = vec2<f32>(high, low);
}
