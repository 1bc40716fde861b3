// Weighted sum of members: elements[i] = sum over m of coefficients[row + m] * members[m][i], in f32, in the members' order.
// One invocation makes the elements of one vector.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * chunk.stride + id.x;
    if (i >= chunk.vectors) {
        return;
    }
    var low = vec4<f32>(0.0);
    var high = vec4<f32>(0.0);
    for (var m = 0u; m < chunk.members; m++) {
        let c = coefficients[chunk.row + m];
        // Members with the coefficient zero take no part, whatever they hold.
        if (c != 0.0) {
            let x = numbers(m, i);
            low += c * x.low;
            high += c * x.high;
        }
    }
    if (chunk.storage == 0u) {
        elements[i] = low;
    } else {
        elements[2u * i] = low;
        elements[2u * i + 1u] = high;
    }
}
