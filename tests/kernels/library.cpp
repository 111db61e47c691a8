// All kernels that crates/nn launches, by name, as a shared library: crates/nn/tests/emulated.rs runs operations on it. See run.sh.
#include "host.hpp"
#include "../../kernels/attention.cu"
#include "../../kernels/attention_backward.cu"
#include "../../kernels/expectations.cu"
#include "../../kernels/frames.cu"
#include "../../kernels/gate_output.cu"
#include "../../kernels/gate_output_backward.cu"
#include "../../kernels/global_attention.cu"
#include "../../kernels/global_attention_backward.cu"
#include "../../kernels/ipa.cu"
#include "../../kernels/ipa_backward.cu"
#include "../../kernels/ipa_frames.cu"
#include "../../kernels/layer_norm.cu"
#include "../../kernels/layer_norm_project.cu"
#include "../../kernels/layer_norm_project_backward.cu"
#include "../../kernels/linear.cu"
#include "../../kernels/outer_product_mean.cu"
#include "../../kernels/outer_product_mean_backward.cu"
#include "../../kernels/pad_rows.cu"
#include "../../kernels/sums.cu"
#include "../../kernels/transition.cu"
#include "../../kernels/transition_backward.cu"
#include "../../kernels/triangle_multiplication.cu"
#include "../../kernels/triangle_multiplication_backward.cu"
#include <map>

namespace {

using Run = std::function<void(long, int, size_t, int, const void*)>;

struct Entry {
    size_t arguments; // bytes
    Run run;
};

template <class Arguments>
Entry entry(const char* name, void (*kernel)(const Arguments)) {
    return {sizeof(Arguments), [=](long blocks, int threads, size_t shared, int schedule, const void* from) {
                Arguments arguments;
                std::memcpy(&arguments, from, sizeof arguments);
                launch(name, blocks, threads, shared, schedule, kernel, arguments);
            }};
}

#define ENTRY(kernel) {#kernel, entry(#kernel, kernel)}
#define HEAD_DIMS(name) ENTRY(name##_8), ENTRY(name##_16), ENTRY(name##_32), ENTRY(name##_64)
#define NUMBERS(name) ENTRY(name##_bf16), ENTRY(name##_f32)
#define WEIGHTS(name) ENTRY(name##_f32_bf16), ENTRY(name##_f32_f32)
#define WIDTHS(name) ENTRY(name##_64), ENTRY(name##_128), ENTRY(name##_256)

const std::map<std::string, Entry>& entries() {
    static const std::map<std::string, Entry> all{
        HEAD_DIMS(attention_bf16), HEAD_DIMS(attention_f32), HEAD_DIMS(attention_delta_bf16), HEAD_DIMS(attention_delta_f32),
        HEAD_DIMS(attention_backward_queries_bf16), HEAD_DIMS(attention_backward_queries_f32), HEAD_DIMS(attention_backward_keys_bf16),
        HEAD_DIMS(attention_backward_keys_f32), HEAD_DIMS(attention_backward_bias_bf16), HEAD_DIMS(attention_backward_bias_f32),
        ENTRY(expectations), ENTRY(frame_update), ENTRY(frame_update_backward), ENTRY(rigid_groups), ENTRY(rigid_groups_backward), ENTRY(unit_pairs),
        ENTRY(unit_pairs_backward), HEAD_DIMS(global_attention_f32_bf16), HEAD_DIMS(global_attention_f32_f32), HEAD_DIMS(global_attention_backward_bf16),
        HEAD_DIMS(global_attention_backward_f32), WEIGHTS(gate_output), WEIGHTS(gate_output_backward), ENTRY(ipa_f32),
        ENTRY(ipa_backward_queries_f32), ENTRY(ipa_backward_keys), ENTRY(ipa_place), ENTRY(ipa_finish), ENTRY(ipa_finish_backward), ENTRY(ipa_place_backward),
        ENTRY(layer_norm), ENTRY(layer_norm_backward), ENTRY(linear_finish), ENTRY(linear_relu_backward), WEIGHTS(layer_norm_project),
        WIDTHS(layer_norm_project_backward_f32_bf16), WIDTHS(layer_norm_project_backward_f32_f32),
        WIDTHS(layer_norm_project_backward_bf16_bf16), ENTRY(pair_counts), WEIGHTS(outer_product_project), WEIGHTS(outer_product_backward),
        NUMBERS(outer_product_turn), ENTRY(outer_product_round), ENTRY(pad_rows_log2e), ENTRY(unpad_rows_log2e), NUMBERS(column_sums),
        ENTRY(sum_leaves), WIDTHS(transition_f32_bf16), WIDTHS(transition_f32_f32), WEIGHTS(transition_backward), WEIGHTS(triangle_project),
        WEIGHTS(triangle_output), WEIGHTS(triangle_output_backward), WEIGHTS(triangle_project_backward), NUMBERS(turn_to_rows),
        NUMBERS(turn_to_channels),
    };
    return all;
}

} // namespace

/// Runs a kernel; 1: there is none of that name, 2: its arguments have another size. Everything else ends the program.
extern "C" int foldry_launch(const char* name, long blocks, int threads, size_t shared, int schedule, const void* arguments, size_t size) {
    const auto found = entries().find(name);
    if (found == entries().end()) return 1;
    if (found->second.arguments != size) return 2;
    static const bool once = [] {
        start();
        return true;
    }();
    (void)once;
    found->second.run(blocks, threads, shared, schedule, arguments);
    return 0;
}

/// Memory that ends at a forbidden page, filled with NaN.
extern "C" void* foldry_memory(size_t bytes) { return new Memory(bytes); }
extern "C" char* foldry_data(void* memory) { return static_cast<Memory*>(memory)->data(); }
/// Frees it; whether nothing was written around it.
extern "C" int foldry_free(void* memory) {
    const bool intact = static_cast<Memory*>(memory)->intact();
    delete static_cast<Memory*>(memory);
    return intact;
}
