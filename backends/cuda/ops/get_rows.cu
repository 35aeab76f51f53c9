/* get_rows.cu - rows of a table by their ids. */
#include "kernels/each_unit.cuh"
#include "kernels/four.cuh"
#include "kernels/strided.cuh"

/* A row whose id is not one of the table's is filled with NaN. */
template <typename T> struct rows_by_id {
    gi8i_rows_at table, y;
    int64_t n_table; /* rows of the table */
    const int32_t *ids;

    struct place {
        const T *from; /* NULL: NaN */
        float *to;
    };

    __device__ place begin(int64_t row) const {
        int64_t id = ids[row];
        bool known = id >= 0 && id < n_table;
        return {known ? reinterpret_cast<const T *>(table.data + id * table.at.nb[1]) : nullptr,
                gi8i_row_of<float>(y, row)};
    }

    __device__ void unit(const place &p, int64_t unit) const {
        int64_t i = 4 * unit;
        const float nan = __uint_as_float(0x7fc00000u);
        gi8i_four<float> four = {{nan, nan, nan, nan}};
        if (p.from != nullptr) {
            four = gi8i_load_four(p.from, i, y.at.ne[0], table.aligned);
        }
        gi8i_store_four(p.to, i, y.at.ne[0], y.aligned, four);
    }
};

template <typename T>
static gi8_status launch_type(const gi8i_cuda_run *run, const gi8_step *step, gi8_error *error) {
    const gi8_tensor *table = step->node->src[0];
    const gi8_tensor *y = step->node;
    rows_by_id<T> f = {};
    f.table = gi8i_rows_at_of(table, step->src[0], table, false);
    f.y = gi8i_rows_at_of(y, step->dst, y, false);
    f.n_table = table->ne[1];
    f.ids = static_cast<const int32_t *>(step->src[1]);
    return gi8i_launch_each_unit("get_rows", run, f, y->ne[1], gi8i_div_up<int64_t>(y->ne[0], 4),
                                 error);
}

static gi8_status launch_get_rows(const gi8i_cuda_run *run, const gi8_step *step,
                                  gi8_error *error) {
    switch (step->node->src[0]->type) {
    case GI8_TYPE_F16: return launch_type<__half>(run, step, error);
    case GI8_TYPE_BF16: return launch_type<__nv_bfloat16>(run, step, error);
    default: return launch_type<float>(run, step, error);
    }
}

extern "C" const gi8i_cuda_op gi8i_cuda_op_get_rows = {NULL, NULL, NULL, launch_get_rows};
