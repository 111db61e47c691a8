// Weights on their way through shared memory.
//
// A kernel walks its weights in chunks, the same for every tile of rows. If all chunks fit into the slots they are loaded
// once and stay; else two slots take turns, and the next chunk is copied while one is multiplied. One barrier a chunk.
#ifndef FOLDRY_STREAM
#define FOLDRY_STREAM
#include "tile.cuh"

/// Copies a chunk: rows × columns (a multiple of 8) of W into a shared matrix. source.row(chunk, r, k) gives where row r
/// lies and how many columns it has (k, a multiple of 8, 16-byte aligned); the others are zeros.
template <class W, class Source>
DEVICE void copy_chunk(bf16* to, int part, const Source& source, int chunk) {
    const int per_row = source.columns(chunk) / 8, stride = source.stride(chunk), all = source.rows(chunk) * per_row;
    for (int i = thread_index(); i < all; i += block_threads()) {
        const int r = i / per_row, at = i % per_row * 8;
        int k = 0;
        const W* from = source.row(chunk, r, k);
        const bool inside = at < k;
        bf16* slot = to + r * stride + at;
        if constexpr (Parts<W>::count == 1) {
            copy_async(slot, inside ? from + at : from, inside ? 16 : 0);
        } else {
            float v[8] = {};
            if (inside) load_eight(from + at, v);
            Words high, low;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                u32 words[2];
                split<2>(v[2 * j], v[2 * j + 1], words);
                high.w[j] = words[0];
                low.w[j] = words[1];
            }
            *reinterpret_cast<Words*>(slot) = high;
            *reinterpret_cast<Words*>(slot + part) = low;
        }
    }
    copy_commit();
}

/// All threads of a block make the same calls in the same order.
template <class W, class Source>
struct WeightStream {
    const Source& source;
    bf16* slots;  // [slot_count][parts][part]
    int part;     // elements of one part of a slot
    int chunks;
    bool resident;
    int next_chunk; // acquired next
    i64 left;       // chunks not yet acquired

    /// `tiles`: how often the chunks are walked through.
    DEVICE WeightStream(const Source& source, bf16* slots, int part, int slot_count, int chunks, i64 tiles)
        : source(source), slots(slots), part(part), chunks(chunks), resident(chunks <= slot_count), next_chunk(0),
          left(tiles * chunks), turn(0) {
        if (left == 0) return;
        if (resident) {
            for (int c = 0; c < chunks; c++) copy_chunk<W>(slot(c), part, source, c);
            copy_wait<0>();
            sync_block();
        } else {
            copy_chunk<W>(slot(0), part, source, 0);
        }
    }

    /// The next chunk, valid until the next call.
    DEVICE const bf16* acquire() {
        const int chunk = next_chunk;
        next_chunk = chunk + 1 == chunks ? 0 : chunk + 1;
        left--;
        if (resident) return slot(chunk);
        copy_wait<0>();
        sync_block(); // this chunk is there, and nobody reads the other slot any more
        const bf16* now = slot(turn);
        turn ^= 1;
        if (left > 0) copy_chunk<W>(slot(turn), part, source, next_chunk);
        return now;
    }

private:
    int turn;
    DEVICE bf16* slot(int i) const { return slots + i64(i) * part * Parts<W>::count; }
};

#endif
