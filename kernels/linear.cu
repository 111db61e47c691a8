// What a linear layer has besides its matrix products: bias, ReLU, the sum it is added to; and ReLU's gradient.
// AF2 Suppl. Alg. 3, 20, 23, 29; crates/nn/src/ops/linear.rs.
//
// limit: spills 0
//
// Shapes    y, residual, out [rows, n], f32; bias f32 [n] or null. out = residual + y + bias, or residual + max(y + bias, 0);
//           residual null: nothing is added. out may be y or residual.
//           linear_relu_backward: out = grad where y + bias > 0, else 0; grad [rows, n]; out may be y or grad.
// Grid      any number of blocks of 256 threads, which take 1024 values in turn.
// Shared    none.
// Floor     bytes: rows·n·8, with a residual 12; the distogram's 64 bins at r = 1024: 0.13 ms at 4.3 TB/s.
#include "primitives.cuh"

struct LinearFinish {
    const float* y;
    const float* bias;     // or null
    const float* residual; // or null; linear_relu_backward: the gradient
    float* out;
    i64 rows;
    int n, relu;
};

/// All values of [rows, n], and the column of each, without a division for every one. A struct, as NVRTC takes no generic lambda.
struct LinearWalk {
    i64 at, step, all;
    int column, turn, n;
    DEVICE LinearWalk(i64 rows, int n)
        : at(block_index() * block_threads() + thread_index()), step(block_count() * block_threads()), all(rows * n), n(n) {
        column = int(at % n);
        turn = int(step % n);
    }
    DEVICE bool inside() const { return at < all; }
    DEVICE void next() {
        at += step;
        column += turn;
        if (column >= n) column -= n;
    }
};

KERNEL __launch_bounds__(256) linear_finish(const __grid_constant__ LinearFinish t) {
    for (LinearWalk walk(t.rows, t.n); walk.inside(); walk.next()) {
        float y = t.y[walk.at];
        if (t.bias) y += t.bias[walk.column];
        if (t.relu) y = max_of(y, 0.0f);
        t.out[walk.at] = t.residual ? t.residual[walk.at] + y : y;
    }
}

KERNEL __launch_bounds__(256) linear_relu_backward(const __grid_constant__ LinearFinish t) {
    for (LinearWalk walk(t.rows, t.n); walk.inside(); walk.next()) {
        float y = t.y[walk.at];
        if (t.bias) y += t.bias[walk.column];
        t.out[walk.at] = y > 0.0f ? t.residual[walk.at] : 0.0f;
    }
}
