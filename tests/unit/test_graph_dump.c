/* test_graph_dump.c - graphs as text and as Graphviz digraphs, to the letter. */
#include "graph_fixture.h"

/* A graph of every operation that prints parameters, of absent sources, strides, and odd names. */
static gi8_graph *sample_graph(gi8_context *ctx) {
    static float memory[12];
    gi8_tensor *codes = gi8_set_name(gi8_new_tensor_2d(ctx, GI8_TYPE_I8, 4, 3), "w.codes");
    gi8_tensor *absmax = gi8_new_tensor_1d(ctx, GI8_TYPE_F32, 3);
    gi8_tensor_set_data(absmax, memory);
    gi8_tensor *x = gi8_set_name(f32(ctx, 4, 2, 1, 1), "a \"quoted\\\n{name}");
    gi8_tensor *y = gi8_mul_mat_int8_mixed(ctx, codes, absmax, NULL, x, NULL);
    gi8_tensor *t = gi8_set_name(gi8_permute(ctx, y, 1, 0, 2, 3), "turned");
    gi8_tensor *z = gi8_silu(ctx, gi8_cont(ctx, t));
    gi8_graph *graph = gi8_graph_create(ctx);
    assert_int_equal(gi8_graph_add_output(graph, z), GI8_OK);
    assert_int_equal(gi8_graph_add_output(graph, y), GI8_OK);
    return graph;
}

static void test_text(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    text_sink sink = {NULL, 0};
    gi8_graph_dump_text(sample_graph(ctx), sink_write, &sink);
    assert_string_equal(
        sink.text,
        "graph: 4 nodes, 3 leaves, 2 outputs\n"
        "leaf 0: I8 [4, 3] \"w.codes\" input\n"
        "leaf 1: F32 [3] \"\" with memory\n"
        "leaf 2: F32 [4, 2] \"a \\\"quoted\\\\\\x0a{name}\" input\n"
        "node 0: mul_mat_int8_mixed F32 [3, 2] \"\" of (leaf 0, leaf 1, -, leaf 2) threshold=6 "
        "outliers=column output\n"
        "node 1: permute F32 [2, 3] strides [12, 4, 24, 24] \"turned\" of (node 0) axes=1,0,2,3 "
        "view of node 0 at byte 0\n"
        "node 2: cont F32 [2, 3] \"\" of (node 1)\n"
        "node 3: activation F32 [2, 3] \"\" of (node 2) kind=silu output\n");
    free(sink.text);
    gi8_context_free(ctx);
}

static void test_dot(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    text_sink sink = {NULL, 0};
    gi8_graph_dump_dot(sample_graph(ctx), sink_write, &sink);
    assert_string_equal(
        sink.text,
        "digraph gi8 {\n"
        "  node [shape=box];\n"
        "  t4 [label=\"input\\n\\\"w.codes\\\"\\nI8 [4, 3]\", style=rounded];\n"
        "  t5 [label=\"with memory\\nF32 [3]\", style=rounded];\n"
        "  t6 [label=\"input\\n\\\"a \\\\\\\"quoted\\\\\\\\\\\\x0a{name}\\\"\\nF32 [4, 2]\", "
        "style=rounded];\n"
        "  t0 [label=\"mul_mat_int8_mixed threshold=6 outliers=column\\nF32 [3, 2]\", "
        "peripheries=2];\n"
        "  t4 -> t0 [label=\"0\"];\n"
        "  t5 -> t0 [label=\"1\"];\n"
        "  t6 -> t0 [label=\"3\"];\n"
        "  t1 [label=\"permute axes=1,0,2,3\\n\\\"turned\\\"\\nF32 [2, 3] "
        "strides [12, 4, 24, 24]\", style=dashed];\n"
        "  t0 -> t1 [label=\"0\"];\n"
        "  t2 [label=\"cont\\nF32 [2, 3]\"];\n"
        "  t1 -> t2 [label=\"0\"];\n"
        "  t3 [label=\"activation kind=silu\\nF32 [2, 3]\", peripheries=2];\n"
        "  t2 -> t3 [label=\"0\"];\n"
        "}\n");
    free(sink.text);
    gi8_context_free(ctx);
}

/* One line a tensor, the longest names and numbers included. */
static void test_every_operation(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    gi8_tensor *y = build_model(ctx, 2, 7);
    gi8_tensor *vast = gi8_view_4d(ctx, f32(ctx, 1, 1, 1, 1), 1, INT64_C(1) << 20, 1 << 20, 1 << 20,
                                   0, 0, 0, 0);
    char name[GI8_MAX_NAME];
    memset(name, '\x01', sizeof name);
    name[sizeof name - 1] = '\0';
    gi8_set_name(vast, "%s", name);
    gi8_graph *graph = gi8_graph_create(ctx);
    assert_int_equal(gi8_graph_add_output(graph, y), GI8_OK);
    assert_int_equal(gi8_graph_add_output(graph, vast), GI8_OK);
    text_sink sink = {NULL, 0};
    gi8_graph_dump_text(graph, sink_write, &sink);
    int64_t n_lines = 0;
    for (const char *at = sink.text; (at = strchr(at, '\n')) != NULL; at++) {
        n_lines++;
    }
    assert_int_equal(n_lines, 1 + gi8_graph_n_nodes(graph) + gi8_graph_n_leaves(graph));
    for (int op = GI8_OP_NONE + 1; op < GI8_OP_COUNT; op++) {
        char word[64];
        snprintf(word, sizeof word, ": %s ", gi8_op_get_info((gi8_op)op)->name);
        if (strstr(sink.text, word) == NULL) {
            fail_msg("%s is missing in\n%s", word, sink.text);
        }
    }
    const char *const parameters[] = {
        " eps=9.99999975e-06", " n_rot=4 base=10000 freq_scale=1", " scale=0.349999994",
        " factor=0.5",         " kind=gelu",                       " scale=1",
        " axes=1,0,2,3",       "F32 [1, 1048576, 1048576, 1048576] strides [4, 0, 0, 0] \"\\x01"};
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        assert_non_null(strstr(sink.text, parameters[i]));
    }
    free(sink.text);
    gi8_context_free(ctx);
}

/* The same calls give the same text, wherever the tensors lie in memory. */
static void test_dumps_do_not_depend_on_addresses(void **state) {
    (void)state;
    text_sink sinks[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    const size_t sizes[] = {2048, 1 << 20, 5000};
    for (int i = 0; i < 3; i++) {
        gi8_context *ctx = gi8_context_create(&(gi8_context_params){.size = sizes[i]}, NULL);
        for (int k = 0; k < i; k++) {
            f32(ctx, 1, 1, 1, 1);
        }
        gi8_tensor *y = build_model(ctx, 3, 4);
        gi8_graph *graph = gi8_graph_create(ctx);
        assert_int_equal(gi8_graph_add_output(graph, y), GI8_OK);
        gi8_graph_dump_text(graph, sink_write, &sinks[i]);
        gi8_graph_dump_dot(graph, sink_write, &sinks[i]);
        gi8_context_free(ctx);
    }
    assert_string_equal(sinks[0].text, sinks[1].text);
    assert_string_equal(sinks[0].text, sinks[2].text);
    for (int i = 0; i < 3; i++) {
        free(sinks[i].text);
    }
}

static void test_empty_and_null(void **state) {
    (void)state;
    gi8_context *ctx = new_context();
    text_sink sink = {NULL, 0};
    gi8_graph_dump_text(NULL, sink_write, &sink);
    gi8_graph_dump_dot(NULL, sink_write, &sink);
    assert_null(sink.text);
    gi8_graph *graph = gi8_graph_create(ctx);
    gi8_graph_dump_text(graph, sink_write, &sink);
    gi8_graph_dump_dot(graph, sink_write, &sink);
    assert_string_equal(sink.text, "graph: 0 nodes, 0 leaves, 0 outputs\n"
                                   "digraph gi8 {\n  node [shape=box];\n}\n");
    free(sink.text);
    gi8_context_free(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_dot),
        cmocka_unit_test(test_every_operation),
        cmocka_unit_test(test_dumps_do_not_depend_on_addresses),
        cmocka_unit_test(test_empty_and_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
