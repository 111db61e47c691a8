//! The text of our kernels, as this program carries it.

/// Files that kernels include, in the order in which they are pasted together.
const COMMON: [&str; 5] = [
    include_str!("../../../../kernels/types.cuh"),
    include_str!("../../../../kernels/primitives.cuh"),
    include_str!("../../../../kernels/tile.cuh"),
    include_str!("../../../../kernels/stream.cuh"),
    include_str!("../../../../kernels/attention.cuh"),
];

macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../../../kernels/", $name, ".cu")))),*]
    };
}

/// The kernels that operations launch, by their file's stem.
const FILES: &[(&str, &str)] = files!(
    "attention" "gate_output" "global_attention" "layer_norm_project" "outer_product_mean" "pad_rows" "transition"
    "triangle_multiplication"
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
            ("gate_output", "gate_output_f32_bf16"),
            ("global_attention", "global_attention"),
            ("layer_norm_project", "layer_norm_project_f32_f32"),
            ("outer_product_mean", "outer_product_project_f32_bf16"),
            ("pad_rows", "pad_rows_log2e"),
            ("transition", "transition_f32_bf16_256"),
            ("triangle_multiplication", "triangle_output_f32_f32"),
        ] {
            let text = text(file);
            assert!(!text.lines().any(|line| line.starts_with("#include")), "{file}");
            assert!(text.contains(&format!(" {kernel}(")), "{file}");
        }
        assert_eq!(files().count(), 8);
    }
}
