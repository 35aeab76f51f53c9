/* gi8.h - contexts, tensors, operations and graphs.
 *
 * A program goes through three stages, and only the last one computes:
 *
 *   build    gi8_context + builders (this header)    nodes are recorded, shapes are checked
 *   plan     gi8_plan_create()    (gi8_backend.h)    support is checked, memory is laid out
 *   execute  gi8_plan_execute()   (gi8_backend.h)    as often as wanted; nothing is allocated
 *
 * Shapes are written as in GGML: ne[0] is the contiguous dimension, so a row-major matrix with
 * 3 rows of 5 elements is [5, 3]. Dimensions that are not written are 1.
 *
 *   mul_mat(w, x)           w [K, N]           x [K, M]           y [N, M]
 *
 *         k -->                 k -->              n -->
 *       n +-------+           m +-------+        m +-------+
 *       | |  w    |           | |  x    |        | |  y    |     y[m][n] = sum_k w[n][k] * x[m][k]
 *       v +-------+           v +-------+        v +-------+
 *
 * Both operands have k contiguous: a Hugging Face linear weight [out_features, in_features] is used
 * as it lies in the file, and the result has one row per token, like x.
 *
 * Errors: a builder that refuses its arguments returns NULL and leaves a status with one sentence
 * in the context, where the first one stays until gi8_context_reset(). A builder that is given a
 * NULL source, or a context that already holds an error, returns NULL. So a whole graph can be
 * written without a check, and gi8_context_status() asked once at the end.
 *
 * Threads: a context, and everything made in it, is used by one thread at a time. Building a graph
 * never writes to a source tensor: weights in a context of their own may be used by any number of
 * threads at once.
 */
#ifndef GI8_H
#define GI8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ggml-int8/gi8_status.h"
#include "ggml-int8/gi8_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GI8_MAX_DIMS 4
#define GI8_MAX_SRC 5
#define GI8_MAX_NAME 64

/* ---- operations ------------------------------------------------------------------------------ */

typedef enum gi8_op {
    GI8_OP_NONE = 0, /* a leaf: a weight, a cache or an input */
#define GI8_VIEW_OP(ENUM, name, params) GI8_OP_##ENUM,
#define GI8_OP(ENUM, name, n_src, params, flags) GI8_OP_##ENUM,
#include "ggml-int8/ops.def"
#undef GI8_VIEW_OP
#undef GI8_OP
    GI8_OP_COUNT
} gi8_op;

/* Flags of ops.def. */
enum { GI8_OP_IN_PLACE = 1, GI8_OP_WRITES = 2, GI8_OP_IS_VIEW = 4 };

/* What gi8_op_info() tells of an operation. */
typedef struct gi8_op_info {
    const char *name;   /* "mul_mat_int8_mixed" */
    int max_src;        /* the largest number of sources */
    size_t params_size; /* bytes of the parameter struct */
    unsigned flags;     /* GI8_OP_IN_PLACE, GI8_OP_WRITES, GI8_OP_IS_VIEW */
} gi8_op_info;

/* Facts about an operation, or NULL for a value outside the enum. A static object. Thread-safe. */
GI8_API const gi8_op_info *gi8_op_get_info(gi8_op op);

typedef struct gi8_no_params {
    char unused;
} gi8_no_params;

typedef struct gi8_permute_params {
    int axis[GI8_MAX_DIMS]; /* dimension i of the source becomes dimension axis[i] of the result */
} gi8_permute_params;

typedef struct gi8_layer_norm_params {
    float eps; /* added to the variance */
} gi8_layer_norm_params;

/* Parameters of mul_mat_int8_mixed. {0} is not the default: use GI8_INT8_PARAMS_DEFAULT. */
typedef struct gi8_int8_params {
    float threshold;       /* |x| >= threshold bypasses int8; <= 0 turns decomposition off */
    gi8_outliers outliers; /* per call (GI8_OUTLIERS_COLUMN) or per row */
    gi8_type out_type;     /* F32, F16 or BF16: the result is rounded to it once */
} gi8_int8_params;

#define GI8_INT8_PARAMS_DEFAULT {GI8_DEFAULT_THRESHOLD, GI8_OUTLIERS_COLUMN, GI8_TYPE_F32}

typedef struct gi8_scale_params {
    float factor;
} gi8_scale_params;

typedef enum gi8_activation_kind {
    GI8_ACTIVATION_RELU,
    GI8_ACTIVATION_SILU,
    GI8_ACTIVATION_GELU,     /* x * Phi(x), with the error function */
    GI8_ACTIVATION_GELU_TANH /* the tanh approximation of Hendrycks and Gimpel 2016, section 2 */
} gi8_activation_kind;

typedef struct gi8_activation_params {
    gi8_activation_kind kind;
} gi8_activation_params;

typedef struct gi8_rope_params {
    int32_t n_rot;    /* leading dimensions that turn: even, 1 to head_dim; the rest passes */
    float base;       /* theta_i = base^(-2i / n_rot); 10000 in most models */
    float freq_scale; /* factor on the position: 1, or 1/factor for linear position interpolation */
} gi8_rope_params;

typedef struct gi8_attention_params {
    float scale; /* factor on q.k before the softmax, usually head_dim^-0.5 */
} gi8_attention_params;

typedef struct gi8_soft_max_params {
    float scale; /* factor on x before the mask is added */
} gi8_soft_max_params;

/* ---- tensors --------------------------------------------------------------------------------- */

struct gi8_buffer;

/* How the elements of a tensor lie in memory. */
typedef enum gi8_layout {
    GI8_LAYOUT_STRIDED = 0, /* as nb[] says */
    GI8_LAYOUT_PANELS = 1   /* int8 weights in the order in which vector units read them:
                               gi8_panels.h. Only mul_mat_int8_mixed takes them. */
} gi8_layout;

/* A tensor: type, shape, strides, and where it came from. Made by builders only; programs read the
 * fields and write none of them. Element (i0, i1, i2, i3) lies nb[0]*i0 + ... + nb[3]*i3 bytes
 * after the tensor's first one. ne[i] >= 0; an empty tensor (some ne[i] == 0) is legal
 * everywhere. */
typedef struct gi8_tensor {
    gi8_type type;
    gi8_op op;                            /* GI8_OP_NONE: a leaf */
    gi8_layout layout;                    /* GI8_LAYOUT_STRIDED in all but weights for one op */
    int64_t ne[GI8_MAX_DIMS];             /* elements of each dimension */
    size_t nb[GI8_MAX_DIMS];              /* stride of each dimension in bytes; panels: of codes
                                             [K, N] as rows */
    struct gi8_tensor *src[GI8_MAX_SRC];  /* sources; optional ones that are absent are NULL */
    const void *params;                   /* the op's parameter struct; NULL for a leaf */
    struct gi8_tensor *view_src;          /* the tensor whose memory this one looks at, itself never
                                             a view; NULL where this tensor is not a view */
    size_t view_offset;                   /* bytes from the first byte of view_src */
    void *data;                           /* memory of a leaf that has its own (weights, caches);
                                             NULL for inputs and results, which a plan places */
    struct gi8_buffer *buffer;            /* the buffer that `data` lies in; NULL: host memory */
    char name[GI8_MAX_NAME];              /* for messages and dumps; "" where none was given */
} gi8_tensor;

/* Elements; 0 for an empty tensor or NULL. Thread-safe. */
GI8_API int64_t gi8_nelements(const gi8_tensor *t);

/* Product of ne[1], ne[2], ne[3]; 0 for NULL. Thread-safe. */
GI8_API int64_t gi8_nrows(const gi8_tensor *t);

/* Bytes from the first byte of the tensor to behind its last one (for a contiguous tensor: as many
 * elements of the type's size; for panels: with their padding); 0 for an empty tensor or NULL.
 * Thread-safe. */
GI8_API size_t gi8_nbytes(const gi8_tensor *t);

/* True where the elements lie without gaps in the order of the dimensions; strides of dimensions of
 * one element do not matter, and an empty tensor is contiguous. False for NULL. */
GI8_API bool gi8_is_contiguous(const gi8_tensor *t);

/* True where each row is contiguous: nb[0] is the size of an element, or ne[0] <= 1. False for
 * NULL. */
GI8_API bool gi8_has_contiguous_rows(const gi8_tensor *t);

/* True where all four dimensions are equal. False where one is NULL. */
GI8_API bool gi8_same_shape(const gi8_tensor *a, const gi8_tensor *b);

/* ---- contexts -------------------------------------------------------------------------------- */

typedef struct gi8_context gi8_context;

/* How a context gets memory for its metadata. {0} asks for a growing arena from malloc. */
typedef struct gi8_context_params {
    size_t size;                    /* bytes of the arena, or of its first block where it grows;
                                       0: 64 KiB */
    bool fixed;                     /* true: never grows; a builder that finds no room fails with
                                       GI8_ERR_ARENA_FULL */
    void *buffer;                   /* memory of `size` bytes that the caller owns and keeps until
                                       gi8_context_free(); implies fixed; no other memory is used */
    const gi8_allocator *allocator; /* NULL: the C library. Copied. */
} gi8_context_params;

/* Makes a context. `params` may be NULL ({0}). NULL on failure, with GI8_ERR_MEMORY (the allocator
 * returned NULL) or GI8_ERR_ARGUMENT (`size` below what the context itself needs, about 1.2 KiB;
 * an allocator that lacks a function)
 * in *error, which may be NULL. Thread-safe. */
GI8_API gi8_context *gi8_context_create(const gi8_context_params *params, gi8_error *error);

/* Frees the context with everything made in it. NULL is allowed. Memory that tensors point to
 * (weights, caches) belongs to buffers or the program and stays. */
GI8_API void gi8_context_free(gi8_context *ctx);

/* Forgets every tensor and graph of the context, and its error. Takes constant time and keeps the
 * memory for the next use. NULL is allowed. */
GI8_API void gi8_context_reset(gi8_context *ctx);

/* The first error since creation or reset; GI8_OK where there is none; GI8_ERR_ARGUMENT
 * for NULL. */
GI8_API gi8_status gi8_context_status(const gi8_context *ctx);

/* The sentence that goes with it; "" where there is no error. Never NULL; valid until reset
 * or free. */
GI8_API const char *gi8_context_message(const gi8_context *ctx);

/* Forgets the error and keeps the tensors: after GI8_ERR_ARENA_FULL a smaller graph may
 * still fit. */
GI8_API void gi8_context_clear_error(gi8_context *ctx);

/* Bytes in use and bytes obtained. 0 for NULL. */
GI8_API size_t gi8_context_used(const gi8_context *ctx);
GI8_API size_t gi8_context_size(const gi8_context *ctx);

/* ---- leaves ---------------------------------------------------------------------------------- */

/* A new leaf of `n_dims` (1 to 4) dimensions. It has no memory: with gi8_buffer_bind() or
 * gi8_tensor_set_data() it becomes a weight or a cache, without them an input that each plan
 * places. NULL and an error in ctx: GI8_ERR_ARGUMENT (n_dims, ne NULL), GI8_ERR_TYPE, GI8_ERR_SHAPE
 * (a negative ne, or more than PTRDIFF_MAX bytes, dimensions of 0 counted as 1),
 * GI8_ERR_ARENA_FULL, GI8_ERR_MEMORY. */
GI8_API gi8_tensor *gi8_new_tensor(gi8_context *ctx, gi8_type type, int n_dims, const int64_t *ne);
GI8_API gi8_tensor *gi8_new_tensor_1d(gi8_context *ctx, gi8_type type, int64_t ne0);
GI8_API gi8_tensor *gi8_new_tensor_2d(gi8_context *ctx, gi8_type type, int64_t ne0, int64_t ne1);
GI8_API gi8_tensor *gi8_new_tensor_3d(gi8_context *ctx, gi8_type type, int64_t ne0, int64_t ne1,
                                      int64_t ne2);
GI8_API gi8_tensor *gi8_new_tensor_4d(gi8_context *ctx, gi8_type type, int64_t ne0, int64_t ne1,
                                      int64_t ne2, int64_t ne3);

/* A new leaf for the codes of an int8 weight: I8 [k, n] in the given layout.
 * NULL and an error in ctx: GI8_ERR_SHAPE, GI8_ERR_ARGUMENT, GI8_ERR_ARENA_FULL, GI8_ERR_MEMORY. */
GI8_API gi8_tensor *gi8_new_codes(gi8_context *ctx, int64_t k, int64_t n, gi8_layout layout);

/* Names a tensor for messages and dumps; a name of GI8_MAX_NAME bytes or more is cut. Returns t, so
 * that calls nest. t == NULL returns NULL. Write to a tensor only while no other thread
 * reads it. */
GI8_API gi8_tensor *gi8_set_name(gi8_tensor *t, const char *format, ...) GI8_PRINTF(2, 3);

/* Gives a leaf host memory that the program owns: at least gi8_nbytes(t) bytes, aligned to the
 * element size (64 bytes is best), unchanged in place as long as a plan uses it. Plans of backends
 * that compute in host memory only. GI8_ERR_ARGUMENT where t is NULL or not a leaf. */
GI8_API gi8_status gi8_tensor_set_data(gi8_tensor *t, void *data);

/* ---- views: another look at a tensor's memory; nothing is copied ----------------------------- */

/* All views keep the type, and a view of a view points at the root. Failures: GI8_ERR_SHAPE where
 * the view would leave its source, the number of elements would change or strides do not fit;
 * GI8_ERR_ARGUMENT for axes that are no permutation; GI8_ERR_ARENA_FULL, GI8_ERR_MEMORY. */

/* `offset` bytes from the start of `a`; nb1.. are byte strides; nb[0] is that of `a`, which must be
 * the element size. `offset` and strides are multiples of it; rows may overlap. */
GI8_API gi8_tensor *gi8_view_1d(gi8_context *ctx, gi8_tensor *a, int64_t ne0, size_t offset);
GI8_API gi8_tensor *gi8_view_2d(gi8_context *ctx, gi8_tensor *a, int64_t ne0, int64_t ne1,
                                size_t nb1, size_t offset);
GI8_API gi8_tensor *gi8_view_3d(gi8_context *ctx, gi8_tensor *a, int64_t ne0, int64_t ne1,
                                int64_t ne2, size_t nb1, size_t nb2, size_t offset);
GI8_API gi8_tensor *gi8_view_4d(gi8_context *ctx, gi8_tensor *a, int64_t ne0, int64_t ne1,
                                int64_t ne2, int64_t ne3, size_t nb1, size_t nb2, size_t nb3,
                                size_t offset);

/* The same elements in a new shape; `a` must be contiguous. */
GI8_API gi8_tensor *gi8_reshape_1d(gi8_context *ctx, gi8_tensor *a, int64_t ne0);
GI8_API gi8_tensor *gi8_reshape_2d(gi8_context *ctx, gi8_tensor *a, int64_t ne0, int64_t ne1);
GI8_API gi8_tensor *gi8_reshape_3d(gi8_context *ctx, gi8_tensor *a, int64_t ne0, int64_t ne1,
                                   int64_t ne2);
GI8_API gi8_tensor *gi8_reshape_4d(gi8_context *ctx, gi8_tensor *a, int64_t ne0, int64_t ne1,
                                   int64_t ne2, int64_t ne3);

/* Dimension i of `a` becomes dimension axis_i of the result; the axes are a permutation of 0..3. */
GI8_API gi8_tensor *gi8_permute(gi8_context *ctx, gi8_tensor *a, int axis0, int axis1, int axis2,
                                int axis3);

/* Exchanges dimensions 0 and 1. */
GI8_API gi8_tensor *gi8_transpose(gi8_context *ctx, gi8_tensor *a);

/* ---- operations that compute ------------------------------------------------------------------ *
 * Unless said otherwise sources and results are F32, sources may be strided views whose rows are
 * contiguous (nb[0] == element size), and results are contiguous. Failures, all with a sentence in
 * the context: GI8_ERR_SHAPE, GI8_ERR_TYPE, GI8_ERR_ARGUMENT (a parameter out of range),
 * GI8_ERR_ARENA_FULL, GI8_ERR_MEMORY. */

/* table [D, V] F32, F16 or BF16; ids [T] I32  ->  [D, T] F32
 *   y[t][d] = table[ids[t]][d]
 * A row whose id is outside [0, V) is filled with NaN. */
GI8_API gi8_tensor *gi8_get_rows(gi8_context *ctx, gi8_tensor *table, gi8_tensor *ids);

/* x [D, ...]; gain [D] or NULL (1); bias [D] or NULL (0)  ->  shape of x
 *   y = (x - mean) / sqrt(variance + eps) * gain + bias, over each row (Ba et al. 2016, eq. 4)
 * eps >= 0. */
GI8_API gi8_tensor *gi8_layer_norm(gi8_context *ctx, gi8_tensor *x, gi8_tensor *gain,
                                   gi8_tensor *bias, float eps);

/* w [K, N, B2, B3] F32, F16 or BF16; x [K, M, C2, C3]  ->  y [N, M, C2, C3]
 *   y[m][n] = sum_k w[n][k] * x[m][k]
 * C2 is a multiple of B2 and C3 of B3: matrix (i2, i3) of x meets (i2 / (C2/B2), i3 / (C3/B3))
 * of w. */
GI8_API gi8_tensor *gi8_mul_mat(gi8_context *ctx, gi8_tensor *w, gi8_tensor *x);

/* LLM.int8() (Dettmers et al. 2022): codes [K, N] I8, contiguous or in panels; absmax [N] F32;
 * bias [N] F32, F16 or BF16, or NULL; x [K, M, ...] F32, F16 or BF16
 *   ->  y [N, M, ...] of params->out_type
 *   y[m][n] = (sum_k q[m][k] * codes[n][k]) * (a[m] / 127) * (absmax[n] / 127)
 *           + sum_{k outlier} x[m][k] * codes[n][k] * (absmax[n] / 127) + bias[n]
 * docs/int8-semantics.md has every rounding. Codes and absmax come from
 * gi8_int8_quantize_weight_rows() or gi8_linear_int8. 1 <= K <= GI8_INT8_MAX_K. `params` may be
 * NULL: GI8_INT8_PARAMS_DEFAULT. In column mode the outlier columns are taken over all rows
 * of x. */
GI8_API gi8_tensor *gi8_mul_mat_int8_mixed(gi8_context *ctx, gi8_tensor *codes, gi8_tensor *absmax,
                                           gi8_tensor *bias, gi8_tensor *x,
                                           const gi8_int8_params *params);

/* a [..], b: each ne[i] equal to a's, or 1 (then repeated)  ->  shape of a
 *   y = a + b        y = a * b */
GI8_API gi8_tensor *gi8_add(gi8_context *ctx, gi8_tensor *a, gi8_tensor *b);
GI8_API gi8_tensor *gi8_mul(gi8_context *ctx, gi8_tensor *a, gi8_tensor *b);

/* y = x * factor; the factor is finite. */
GI8_API gi8_tensor *gi8_scale(gi8_context *ctx, gi8_tensor *x, float factor);

/* Elementwise: max(x, 0);  x / (1 + exp(-x));  x * Phi(x);  its tanh approximation. */
GI8_API gi8_tensor *gi8_relu(gi8_context *ctx, gi8_tensor *x);
GI8_API gi8_tensor *gi8_silu(gi8_context *ctx, gi8_tensor *x);
GI8_API gi8_tensor *gi8_gelu(gi8_context *ctx, gi8_tensor *x);
GI8_API gi8_tensor *gi8_gelu_tanh(gi8_context *ctx, gi8_tensor *x);

/* Rotary position embedding, half-rotation form (Su et al. 2021; GPT-NeoX pairs i with
 * i + n_rot/2).
 * x [D, H, T]; positions [T] I32  ->  [D, H, T]
 *   angle = positions[t] * freq_scale * base^(-2i / n_rot),  0 <= i < n_rot/2
 *   y[i] = x[i] cos - x[i + n_rot/2] sin;  y[i + n_rot/2] = x[i + n_rot/2] cos + x[i] sin
 * Dimensions from n_rot on pass through. */
GI8_API gi8_tensor *gi8_rope(gi8_context *ctx, gi8_tensor *x, gi8_tensor *positions,
                             const gi8_rope_params *params);

/* Writes keys or values into a cache: cache [D, C, H, S] F32 or F16, a leaf with memory
 * (C positions for each of S sequences); x [D, H, T]; positions [T], sequences [T] I32
 *   ->  a view of the cache
 *   cache[sequences[t]][h][positions[t]][d] = x[t][h][d]
 * A token whose position is outside [0, C) or whose sequence is outside [0, S) is not stored. Give
 * the result, not the cache, to gi8_attention(): that is what orders the two. Two tokens of one
 * call must not name the same place. x is not a view of the cache (GI8_ERR_ARGUMENT). */
GI8_API gi8_tensor *gi8_kv_store(gi8_context *ctx, gi8_tensor *cache, gi8_tensor *x,
                                 gi8_tensor *positions, gi8_tensor *sequences);

/* Causal attention over a cache, tokens of several sequences in one call (Vaswani et al. 2017,
 * eq. 1; online softmax as in Milakov and Gimelshein 2018).
 * q [D, H, T]; k, v [D, C, G, S], both F32 or both F16 (G divides H: head h reads h / (H/G));
 * positions [T], sequences [T] I32  ->  [D, H, T]
 *   y[t][h] = sum_{j <= positions[t]} softmax_j(scale * q[t][h] . k[sequences[t]][h][j]) * v[..][j]
 * A token whose position or sequence is out of range yields NaN. k and v are leaves or results of
 * gi8_kv_store(); the scale is finite. */
GI8_API gi8_tensor *gi8_attention(gi8_context *ctx, gi8_tensor *q, gi8_tensor *k, gi8_tensor *v,
                                  gi8_tensor *positions, gi8_tensor *sequences, float scale);

/* x [C, ...]; mask NULL or F32 with each ne[i] equal to x's or 1  ->  shape of x
 *   y = softmax over each row of (x * factor + mask)
 * A row that is -Inf throughout yields NaN. The factor is finite. */
GI8_API gi8_tensor *gi8_soft_max(gi8_context *ctx, gi8_tensor *x, gi8_tensor *mask, float factor);

/* A contiguous copy of `a`, any type, any strides. */
GI8_API gi8_tensor *gi8_cont(gi8_context *ctx, gi8_tensor *a);

/* Copies `a` into `b` (same number of elements, taken in the order of their dimensions; any
 * strides) and converts between F32, F16 and BF16; I8 and I32 only to themselves  ->  a view of
 * `b`. Where both look at the same tensor, the byte ranges that they span must not overlap
 * (GI8_ERR_ARGUMENT); no two elements of `b` may share memory (GI8_ERR_SHAPE). Give the result, not
 * `b`, to what shall see the copy. */
GI8_API gi8_tensor *gi8_cpy(gi8_context *ctx, gi8_tensor *a, gi8_tensor *b);

/* ---- graphs ---------------------------------------------------------------------------------- */

/* The nodes that some outputs need, in an order in which each stands behind its sources. Lives in
 * its context's arena and dies with it. */
typedef struct gi8_graph gi8_graph;

/* An empty graph. NULL where ctx is NULL or in error, or has no room. */
GI8_API gi8_graph *gi8_graph_create(gi8_context *ctx);

/* Adds `output` and everything that it needs. A graph may have many outputs; the memory of an
 * output is kept until the plan's next execution. Without recursion: depth is bounded by memory
 * alone. Adding an output again changes nothing. Returns GI8_OK or the context's error (the graph
 * is then as before); `output` NULL: the context's error, or GI8_ERR_ARGUMENT. */
GI8_API gi8_status gi8_graph_add_output(gi8_graph *graph, gi8_tensor *output);

/* Nodes (computed tensors and views), leaves and outputs. 0 and NULL for a NULL graph or an index
 * out of range. */
GI8_API int64_t gi8_graph_n_nodes(const gi8_graph *graph);
GI8_API gi8_tensor *gi8_graph_node(const gi8_graph *graph, int64_t index);
GI8_API int64_t gi8_graph_n_leaves(const gi8_graph *graph);
GI8_API gi8_tensor *gi8_graph_leaf(const gi8_graph *graph, int64_t index);
GI8_API int64_t gi8_graph_n_outputs(const gi8_graph *graph);
GI8_API gi8_tensor *gi8_graph_output(const gi8_graph *graph, int64_t index);

/* Where a dump goes: called with pieces of text in order; `text` is not NUL-terminated. */
typedef void (*gi8_write_fn)(void *user, const char *text, size_t size);

/* Writes the graph as one line per tensor, or as a Graphviz digraph. Nothing for a NULL graph. */
GI8_API void gi8_graph_dump_text(const gi8_graph *graph, gi8_write_fn write, void *user);
GI8_API void gi8_graph_dump_dot(const gi8_graph *graph, gi8_write_fn write, void *user);

#ifdef __cplusplus
}
#endif

#endif
