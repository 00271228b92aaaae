#!/usr/bin/env bash
# All benchmarks of a GPU within a time budget, the most important first.
#
#     benchmarks/run_gpu.sh OUT_DIR MINUTES [--dry-run] [--only REGEX] [--device emulated]
#
# Every job is a command of its own with a limit, so that a crash or a long one loses one line only.
# What a job prints and writes lies in EACH (OUT_DIR/each by default) as soon as it is there;
# OUT_DIR/summary.md is written anew after every job, so it is there also where this is cut short.
# A job whose result is in EACH already is not run again: a second call goes on. It needs Python
# with NumPy, numba, CuPy, and PyTorch to compare with; PYTHON names another than python3.
set -u

usage() {
    sed -n '2,10p' "$0" | sed 's/^# \{0,1\}//'
    exit 2
}

[ $# -ge 2 ] || usage
OUT=$1 MINUTES=$2
shift 2
DRY='' ONLY='' DEVICE=cuda
while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) DRY=1; shift ;;
        --only) ONLY=${2:?--only needs a regular expression}; shift 2 ;;
        --device) DEVICE=${2:?--device needs cuda or emulated}; shift 2 ;;
        *) usage ;;
    esac
done
case $MINUTES in '' | *[!0-9]*) usage ;; esac

PYTHON=${PYTHON:-python3}
HERE=$(cd "$(dirname "$0")" && pwd) || exit 1
EACH=${EACH:-$OUT/each}
RESERVE=${RESERVE:-15}  # seconds kept for the summary
LEAST=${LEAST:-20}      # no job starts with less
END=$((SECONDS + MINUTES * 60 - RESERVE))
mkdir -p "$OUT" "$EACH" || exit 1
EACH=$(cd "$EACH" && pwd) OUT=$(cd "$OUT" && pwd)
export PYTHONUNBUFFERED=1 PYTHONPATH="$HERE/..${PYTHONPATH:+:$PYTHONPATH}"
cd "$HERE/.." || exit 1

SMALL='lecture_mnist mnist_convnet lab_cifar lab1_cifar minivggnet resnet_cifar minigooglenet'
MORE='lecture_mnist_wide lenet shallownet telemetry_conv1d imdb_conv1d'
BIG='resnet50 resnet18 alexnet googlenet resnet_tiny_imagenet deepergooglenet cats_dogs_small
    vgg16 resnet34 squeezenet efficientnet_lite0'
WIDE='resnet_cifar minivggnet lecture_mnist mnist_convnet minigooglenet lab_cifar googlenet alexnet'
OPS='conv2d.* linear.*|matmul batch_norm.* .*pool.* sgd|adam|rmsprop
    (?!conv2d|linear|matmul|batch_norm|sgd|adam|rmsprop|.*pool).*'

note() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" | tee -a "$OUT/progress.txt"; }

# Every job ends here, and so does this script when it is told to end.
summarise() {
    "$PYTHON" "$HERE/gpu_summary.py" "$EACH" >"$OUT/summary.tmp" 2>>"$OUT/progress.txt" &&
        mv "$OUT/summary.tmp" "$OUT/summary.md"
    tar -czf "$OUT/results.tmp" -C "$EACH" . && mv "$OUT/results.tmp" "$OUT/results.tar.gz"
}

finish() {
    trap - EXIT INT TERM HUP
    [ -n "$child" ] && kill "$child" 2>/dev/null
    [ -n "$DRY" ] || summarise
    note "end"
    exit "${1:-0}"
}

# job NAME SECONDS COMMAND...: a result is EACH/NAME.json, or EACH/NAME.log where it has no other.
job() {
    local name=$1 limit=$2 left=$((END - SECONDS)) code before=$SECONDS
    shift 2
    if [ -n "$ONLY" ] && ! [[ $name =~ $ONLY ]]; then return; fi
    if [ -e "$EACH/$name.done" ]; then note "$name: there already"; return; fi
    if [ "$left" -lt "$LEAST" ]; then note "$name: not run, no time left"; return; fi
    [ "$limit" -lt "$left" ] || limit=$left
    if [ -n "$DRY" ]; then note "$name: at most $limit s: $*"; return; fi
    note "$name: at most $limit s"
    timeout -k 10 "$limit" "$@" >"$EACH/$name.log" 2>&1 &
    child=$!
    wait "$child"
    code=$?
    child=''
    case $code in
        0) : >"$EACH/$name.done"; note "$name: done in $((SECONDS - before)) s" ;;
        124 | 137) note "$name: cut off after $((SECONDS - before)) s" ;;
        *) note "$name: failed ($code) after $((SECONDS - before)) s: $(tail -n 1 "$EACH/$name.log")" ;;
    esac
    summarise
}

# steps GROUP SECONDS NETWORKS OPTION...: a job for each network.
steps() {
    local group=$1 limit=$2 networks=$3 network
    shift 3
    for network in $networks; do
        job "$group.$network" "$limit" "$PYTHON" "$HERE/bench_step.py" --device "$DEVICE" \
            --networks "$network" --machine "$EACH/machine.json" --json "$EACH/$group.$network.json" "$@"
    done
}

child=''
trap 'finish 143' TERM INT HUP
trap 'finish' EXIT
note "begin: $MINUTES minutes"

job machine 120 "$PYTHON" "$HERE/gpu_machine.py" "$EACH/machine.json"
job tests 300 "$PYTHON" -m pytest -m gpu --maxfail 30 -p no:cacheprovider
steps small 200 "$SMALL" --against eager
steps small_compile 240 "$SMALL" --against compile --unchecked
steps big 240 "$BIG" --against eager
steps small_bf16 200 "$SMALL" --against eager --precision bf16 --unchecked
steps big_bf16 240 "$BIG" --against eager --precision bf16 --unchecked
steps large 180 "$WIDE" --against eager --batch large
steps fed 180 "$SMALL resnet50" --against eager --feed --unchecked
set -f  # the patterns below are not for the shell
number=0
for pattern in $OPS; do
    number=$((number + 1))
    job "ops.$number" 240 "$PYTHON" "$HERE/gpu_ops.py" --ops "$pattern" --device "$DEVICE" \
        --machine "$EACH/machine.json" --json "$EACH/ops.$number.json"
done
for network in resnet_cifar minigooglenet resnet50; do
    job "profile.$network" 120 "$PYTHON" "$HERE/gpu_ops.py" --profile "$network" \
        --device "$DEVICE" --machine "$EACH/machine.json" --json "$EACH/profile.$network.json"
done
steps more 180 "$MORE" --against eager
steps big_compile 300 "$BIG" --against compile --unchecked
