#!/usr/bin/env bash
# Everything that needs a GPU, in one call of under ten minutes: parity of every operation, its gradients, the whole network and a training
# step with the CPU in f32, the sanitizers on small sizes, timing tables. Needs a driver, CUDA 13's libraries and compute-sanitizer; no Rust, no network.
#   tests/gpu/run.sh FOLDER [LOG_FOLDER]      FOLDER as tests/gpu/build.sh left it
# Every step has a time limit of its own, and all together have ten minutes; the next one runs in any case; at the end stands what failed.
set -uo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(cd "${1:?usage: tests/gpu/run.sh FOLDER [LOG_FOLDER]}" && pwd)
logs=${2:-$(mktemp -d)}
mkdir -p "$logs"
foldry=$folder/foldry
# Compiled kernels of this run are not mixed with those of others.
export FOLDRY_CACHE=$logs/cache
failed=()

# step NAME SECONDS COMMAND...
step() {
    local name=$1 limit=$2 start=$SECONDS left=$((590 - SECONDS))
    shift 2
    echo "== $name"
    if [ "$left" -le 0 ]; then
        failed+=("$name")
        echo "-- $name: NOT RUN, no time left"
        return
    fi
    if [ "$left" -lt "$limit" ]; then limit=$left; fi
    if timeout "$limit" "$@" 2>&1 | tee "$logs/$name.log"; then
        echo "-- $name: passed, $((SECONDS - start)) s"
    else
        failed+=("$name")
        echo "-- $name: FAILED, $((SECONDS - start)) s"
    fi
}

small=(--msa 17 --extra 35)
step machine 20 nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
step doctor 20 "$foldry" doctor
step usable 20 bash -c "'$foldry' doctor --json | grep -q '\"usable\":true'"

for dtype in f32 bf16; do
    step "ops_$dtype" 60 "$foldry" bench op --device cuda --check --dtype "$dtype" --lengths 17,33,130 "${small[@]}"
    step "train_$dtype" 60 "$foldry" bench train --device cuda --check --dtype "$dtype" --crop 40 --steps 2 --recycles 1 --channels 64 \
        --blocks 2 --extra-blocks 1 "${small[@]}"
    step "model_$dtype" 60 "$foldry" bench model --device cuda --check --dtype "$dtype" --lengths 33,66 --blocks 4 "${small[@]}"
done
# The same kernels compiled here, twice: the second time they come from the cache.
for run in compiled cached; do
    step "ops_source_$run" 60 env FOLDRY_KERNELS=source "$foldry" bench op --device cuda --check --dtype bf16 --lengths 33 "${small[@]}"
done

# AlphaFold's own numbers, by both devices.
golden() {
    local forward=("$foldry" forward --config "$root/tests/golden/fold/config.json" --params "$root/tests/golden/fold/params.npz" \
        --features "$root/tests/golden/fold/features.npz" --recycles 1)
    "${forward[@]}" -o "$logs/cpu.safetensors" && "${forward[@]}" --device cuda -o "$logs/cuda.safetensors" &&
        python3 "$root/tests/gpu/compare.py" "$logs/cpu.safetensors" "$logs/cuda.safetensors"
}
export -f golden
export foldry logs root
step golden 60 bash -c golden

# A few steps of the trainer, and their judgement, by both devices: losses and scores may differ by rounding, which training multiplies.
training() {
    local work=$logs/training
    rm -rf "$work" && mkdir -p "$work/in" && cd "$work" || return 1
    for id in 1jos_A 2ayd_A 4mo0_A 5pal_A; do
        cp "$root/data/examples/$id.ref.pdb" "in/$id.pdb" && cp "$root/data/examples/$id.a3m" in || return 1
    done
    printf 'id\tcluster\tsplit\n5pal_A\tx\ttest\n' >split.tsv
    "$foldry" data ingest in -o set.foldset --split split.tsv --unlisted train || return 1
    for device in cpu cuda; do
        printf '%s\n' "model = '$root/data/models/mini.json'" "init = '$root/data/models/mini.safetensors'" "dataset = 'set.foldset'" "output = '$device'" \
            '[sample]' 'crop = 40' 'recycles = 1' '[passes]' 'checkpoint_activations = true' '[train]' 'steps = 4' 'batch = 2' 'lr = 1e-3' >"$device.toml"
        "$foldry" train "$device.toml" --device "$device" || return 1
        # The same parameters on both.
        "$foldry" eval --data set.foldset --split test --params cpu/model.safetensors --device "$device" --json >"$device.json" || return 1
    done
    python3 "$root/tests/gpu/compare_training.py" "$work"
}
export -f training
step training 60 bash -c training

# One rank through NCCL is one process alone, to the bit: the real library, memory and copies; more ranks need more GPUs.
nccl() {
    local work=$logs/nccl
    rm -rf "$work" && mkdir -p "$work"
    echo '{"steps": 6, "batch": 4, "checkpoint_every": 3}' >"$work/config.json"
    export WORLD_SIZE=1 RANK=0 LOCAL_RANK=0 MASTER_ADDR=127.0.0.1 MASTER_PORT=29511 NCCL_DEBUG=WARN
    FOLDRY_RANKS=none "$folder/train-mlp" "$work/alone" "$work/config.json" || return 1
    if ! FOLDRY_RANKS=nccl "$folder/train-mlp" "$work/nccl" "$work/config.json" 2>"$work/stderr"; then
        cat "$work/stderr"
        grep -q 'libnccl.so.2 was not found' "$work/stderr" && echo "skipped: there is no NCCL here (LD_LIBRARY_PATH)"
        return
    fi
    diff -r "$work/alone/checkpoints" "$work/nccl/checkpoints"
}
export -f nccl
export folder
step nccl 60 bash -c nccl

if [ -d "$folder/cases" ]; then
    for case in "$folder"/cases/*; do
        if [ "$(basename "$case")" != bench ]; then step "case_$(basename "$case")" 40 "$case"; fi
    done
fi

for tool in memcheck racecheck; do
    step "$tool" 75 compute-sanitizer --tool "$tool" --error-exitcode 9 --launch-timeout 60 \
        "$foldry" bench op --device cuda --dtype bf16 --lengths 17 --msa 5 --extra 9
done

step time_ops 60 "$foldry" bench op --device cuda --dtype bf16 --lengths 256,512
# With the plan beside what is held: `planned` should be no less than `peak GB`, and not much more.
step time_model 75 "$foldry" bench model --device cuda --dtype bf16 --lengths 256,512
# AlphaFold's initial training; 19 GB and, with blocks run again, 5 were seen on the fake driver.
initial=(--crop 256 --msa 128 --extra 1024 --blocks 48 --extra-blocks 4 --channels 0 --steps 3)
step time_train 60 "$foldry" bench train --device cuda --dtype bf16 "${initial[@]}"
step time_train_again 60 "$foldry" bench train --device cuda --dtype bf16 "${initial[@]}" --checkpoint-activations
if [ -x "$folder/cases/bench" ]; then step time_kernels 40 "$folder/cases/bench" 256 512; fi

if [ ${#failed[@]} -gt 0 ]; then
    echo "FAILED after $SECONDS s: ${failed[*]}; logs in $logs"
    exit 1
fi
echo "all passed, $SECONDS s; logs in $logs"
