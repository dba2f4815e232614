// Two words over and over: a value of 8 bytes, or of 4 or less repeated.

@group(0) @binding(1) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
    let i = invocation(group, groups, local, 256u);
    if (i < p(0u)) { out[i] = p(1u + i % 2u); }
}
