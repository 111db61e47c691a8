//! The text of our kernels, as this program carries it.

/// Files that kernels include, in the order in which they are pasted together.
const COMMON: [&str; 7] = [
    include_str!("../../../../kernels/types.cuh"),
    include_str!("../../../../kernels/primitives.cuh"),
    include_str!("../../../../kernels/tile.cuh"),
    include_str!("../../../../kernels/stream.cuh"),
    include_str!("../../../../kernels/attention.cuh"),
    include_str!("../../../../kernels/ipa.cuh"),
    include_str!("../../../../kernels/backward.cuh"),
];

macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../../../kernels/", $name, ".cu")))),*]
    };
}

/// The kernels that operations launch, by their file's stem.
const FILES: &[(&str, &str)] = files!(
    "attention" "attention_backward" "expectations" "frames" "gate_output" "gate_output_backward" "global_attention" "global_attention_backward"
    "ipa" "ipa_backward" "ipa_frames" "layer_norm" "layer_norm_project" "layer_norm_project_backward" "linear" "outer_product_mean"
    "outer_product_mean_backward" "pad_rows" "sums" "transition" "transition_backward" "triangle_multiplication" "triangle_multiplication_backward"
);

/// All files with kernels.
pub fn files() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// A file of kernels as one text that includes nothing.
///
/// # Panics  if there is no such file.
pub fn text(file: &str) -> String {
    let own = FILES.iter().find(|(name, _)| *name == file).expect("a file of kernels/").1;
    let mut text = String::new();
    for line in COMMON.iter().chain([&own]).flat_map(|part| part.lines()) {
        if !line.starts_with("#include \"") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_include_nothing_and_have_their_kernels() {
        for (file, kernel) in [
            ("attention", "attention_bf16_32"),
            ("expectations", "expectations"),
            ("frames", "rigid_groups"),
            ("gate_output_backward", "gate_output_backward_f32_bf16"),
            ("gate_output", "gate_output_f32_bf16"),
            ("global_attention", "global_attention"),
            ("ipa", "ipa_f32"),
            ("ipa_backward", "ipa_backward_queries_f32"),
            ("ipa_frames", "ipa_place"),
            ("layer_norm", "layer_norm_backward"),
            ("layer_norm_project", "layer_norm_project_f32_f32"),
            ("linear", "linear_finish"),
            ("outer_product_mean", "outer_product_project_f32_bf16"),
            ("pad_rows", "pad_rows_log2e"),
            ("sums", "column_sums_bf16"),
            ("transition", "transition_f32_bf16_256"),
            ("transition_backward", "transition_backward_f32_f32"),
            ("triangle_multiplication", "triangle_output_f32_f32"),
        ] {
            let text = text(file);
            assert!(!text.lines().any(|line| line.starts_with("#include")), "{file}");
            assert!(text.contains(&format!(" {kernel}(")), "{file}");
        }
        assert_eq!(files().count(), 23);
    }
}
