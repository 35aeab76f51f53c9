/* test_config.c - config.json: both generations of keys, defaults, and every way to be wrong. */
#include "checkpoint_fixture.h"
#include "config.h"

static gi8_status load_text(const char *text, gptneox_config *config, gi8_error *error) {
    temp_dir dir = temp_dir_create();
    temp_write_text(&dir, "config.json", text);
    gi8_status status = gptneoxi_config_load(config, dir.path, error);
    temp_dir_remove(&dir);
    return status;
}

static gptneox_config load_good(const char *text) {
    gptneox_config config;
    gi8_error error = GI8_ERROR_INIT;
    if (load_text(text, &config, &error) != GI8_OK) {
        fail_msg("%s: %s", text, error.message);
    }
    return config;
}

static void defaults(void **state) {
    (void)state;
    gptneox_config c = load_good("{}");
    assert_int_equal(c.vocab_size, 50432);
    assert_int_equal(c.hidden_size, 6144);
    assert_int_equal(c.num_hidden_layers, 44);
    assert_int_equal(c.num_attention_heads, 64);
    assert_int_equal(c.intermediate_size, 24576);
    assert_int_equal(c.max_position_embeddings, 2048);
    assert_int_equal(c.head_dim, 96);
    assert_int_equal(c.rotary_dim, 24);
    assert_float_equal(c.rope_theta, 10000.0f, 0.0f);
    assert_float_equal(c.rope_freq_scale, 1.0f, 0.0f);
    assert_float_equal(c.layer_norm_eps, 1e-5f, 0.0f);
    assert_int_equal(c.hidden_act, GI8_ACTIVATION_GELU);
    assert_true(c.use_parallel_residual);
    assert_true(c.attention_bias);
    assert_false(c.tie_word_embeddings);
    assert_int_equal(c.bos_token_id, -1);
    assert_int_equal(c.eos_token_id, -1);
}

static void all_keys(void **state) {
    (void)state;
    gptneox_config c = load_good(
        "{\"architectures\": [\"GPTNeoXForCausalLM\"], \"model_type\": \"gpt_neox\", "
        "\"vocab_size\": 97,"
        " \"hidden_size\": 100, \"num_hidden_layers\": 3, \"num_attention_heads\": 2,"
        " \"intermediate_size\": 41, \"max_position_embeddings\": 64, \"rotary_pct\": 0.58,"
        " \"rotary_emb_base\": 500, \"layer_norm_eps\": 1e-3, \"hidden_act\": \"silu\","
        " \"use_parallel_residual\": false, \"attention_bias\": false, \"tie_word_embeddings\": "
        "true,"
        " \"bos_token_id\": 3, \"eos_token_id\": 96, \"rope_scaling\": null, \"rope_parameters\": "
        "null,"
        " \"quantization_config\": null, \"torch_dtype\": \"float16\", \"something_new\": [1]}");
    assert_int_equal(c.vocab_size, 97);
    assert_int_equal(c.hidden_size, 100);
    assert_int_equal(c.num_hidden_layers, 3);
    assert_int_equal(c.num_attention_heads, 2);
    assert_int_equal(c.intermediate_size, 41);
    assert_int_equal(c.max_position_embeddings, 64);
    assert_int_equal(c.head_dim, 50);
    assert_int_equal(c.rotary_dim, 28); /* 50 * 0.58 is 28.999999999999996: cut, not rounded */
    assert_float_equal(c.rope_theta, 500.0f, 0.0f);
    assert_float_equal(c.layer_norm_eps, 1e-3f, 0.0f);
    assert_int_equal(c.hidden_act, GI8_ACTIVATION_SILU);
    assert_false(c.use_parallel_residual);
    assert_false(c.attention_bias);
    assert_true(c.tie_word_embeddings);
    assert_int_equal(c.bos_token_id, 3);
    assert_int_equal(c.eos_token_id, 96);
}

static void activations(void **state) {
    (void)state;
    static const struct {
        const char *name;
        gi8_activation_kind kind;
    } table[] = {
        {"gelu", GI8_ACTIVATION_GELU},
        {"gelu_fast", GI8_ACTIVATION_GELU_TANH},
        {"gelu_new", GI8_ACTIVATION_GELU_TANH},
        {"gelu_pytorch_tanh", GI8_ACTIVATION_GELU_TANH},
        {"relu", GI8_ACTIVATION_RELU},
        {"silu", GI8_ACTIVATION_SILU},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "{\"hidden_act\": \"%s\"}", table[i].name);
        assert_int_equal(load_good(text).hidden_act, table[i].kind);
    }
}

/* Head size 96 throughout. */
static void rotary(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int32_t dim;
        float theta;
        float scale;
    } table[] = {
        {"{\"rotary_pct\": 1.0}", 96, 10000.0f, 1.0f},
        {"{\"rotary_pct\": 1}", 96, 10000.0f, 1.0f},
        {"{\"rotary_pct\": 0}", 0, 10000.0f, 1.0f},
        {"{\"rotary_emb_base\": 2.5}", 24, 2.5f, 1.0f},
        {"{\"rope_parameters\": {}}", 24, 10000.0f, 1.0f},
        {"{\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 500.0,"
         " \"partial_rotary_factor\": 0.5}}",
         48, 500.0f, 1.0f},
        {"{\"rope_parameters\": {\"rope_theta\": 500.0}, \"rotary_pct\": 0.5, \"rotary_emb_base\": "
         "7}",
         48, 500.0f, 1.0f},
        {"{\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 4.0}}", 24, 10000.0f,
         0.25f},
        {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, \"rotary_pct\": 0.5}", 48,
         10000.0f, 0.5f},
        {"{\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.0}}", 24, 10000.0f, 0.5f},
        {"{\"rope_scaling\": {\"rope_type\": \"default\"}}", 24, 10000.0f, 1.0f},
        {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0},"
         " \"rope_parameters\": {\"rope_theta\": 1.0}}",
         24, 10000.0f, 0.5f},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        gptneox_config c = load_good(table[i].text);
        assert_int_equal(c.rotary_dim, table[i].dim);
        assert_float_equal(c.rope_theta, table[i].theta, 0.0f);
        assert_float_equal(c.rope_freq_scale, table[i].scale, 0.0f);
    }
}

static void token_ids(void **state) {
    (void)state;
    assert_int_equal(load_good("{\"eos_token_id\": null}").eos_token_id, -1);
    assert_int_equal(load_good("{\"eos_token_id\": -1}").eos_token_id, -1);
    assert_int_equal(load_good("{\"eos_token_id\": [5, 6]}").eos_token_id, 5);
    assert_int_equal(load_good("{\"eos_token_id\": []}").eos_token_id, -1);
    assert_int_equal(load_good("{\"bos_token_id\": 50431}").bos_token_id, 50431);
}

static void quantized_by_bitsandbytes(void **state) {
    (void)state;
    load_good(
        "{\"quantization_config\": {\"quant_method\": \"bitsandbytes\", \"load_in_8bit\": true,"
        " \"load_in_4bit\": false, \"llm_int8_threshold\": 6.0}}");
    load_good("{\"quantization_config\": {\"load_in_8bit\": true}}");
}

static void wrong_values(void **state) {
    (void)state;
    static const struct {
        const char *text;
        gi8_status status;
        const char *says[2];
    } table[] = {
        {"", GI8_ERR_FORMAT, {"not valid JSON", "line 1"}},
        {"{\"vocab_size\": 1", GI8_ERR_FORMAT, {"not valid JSON", "config.json"}},
        {"{\"vocab_size\": 1, \"vocab_size\": 2}", GI8_ERR_FORMAT, {"duplicate", "vocab_size"}},
        {"{} {}", GI8_ERR_FORMAT, {"not valid JSON", "end of file"}},
        {"[1]", GI8_ERR_FORMAT, {"expected an object", "found an array"}},
        {"{\"model_type\": \"llama\"}", GI8_ERR_UNSUPPORTED, {"\"gpt_neox\"", "\"llama\""}},
        {"{\"model_type\": 5}", GI8_ERR_FORMAT, {"model_type", "found an integer"}},
        {"{\"vocab_size\": 0}", GI8_ERR_FORMAT, {"vocab_size", "found 0"}},
        {"{\"vocab_size\": -5}", GI8_ERR_FORMAT, {"vocab_size", "found -5"}},
        {"{\"vocab_size\": 1e3}", GI8_ERR_FORMAT, {"vocab_size", "found a real number"}},
        {"{\"vocab_size\": 4294967297}", GI8_ERR_FORMAT, {"vocab_size", "found 4294967297"}},
        {"{\"vocab_size\": 99999999999999999999}", GI8_ERR_FORMAT, {"not valid JSON", "too big"}},
        {"{\"vocab_size\": \"7\"}", GI8_ERR_FORMAT, {"vocab_size", "found a string"}},
        {"{\"vocab_size\": null}", GI8_ERR_FORMAT, {"vocab_size", "found null"}},
        {"{\"hidden_size\": 0}", GI8_ERR_FORMAT, {"hidden_size", "found 0"}},
        {"{\"hidden_size\": 133145}", GI8_ERR_FORMAT, {"hidden_size", "133144"}},
        {"{\"hidden_size\": 6145}", GI8_ERR_FORMAT, {"num_attention_heads 64", "6145"}},
        {"{\"num_attention_heads\": 0}", GI8_ERR_FORMAT, {"num_attention_heads", "found 0"}},
        {"{\"num_attention_heads\": 12288}", GI8_ERR_FORMAT, {"hidden_size", "12288"}},
        {"{\"num_hidden_layers\": 0}", GI8_ERR_FORMAT, {"num_hidden_layers", "found 0"}},
        {"{\"num_hidden_layers\": 100000}", GI8_ERR_FORMAT, {"num_hidden_layers", "100000"}},
        {"{\"intermediate_size\": 0}", GI8_ERR_FORMAT, {"intermediate_size", "found 0"}},
        {"{\"intermediate_size\": 1000000}", GI8_ERR_FORMAT, {"intermediate_size", "1000000"}},
        {"{\"max_position_embeddings\": 0}", GI8_ERR_FORMAT, {"max_position_embeddings", "0"}},
        {"{\"rotary_pct\": 1.5}", GI8_ERR_FORMAT, {"rotary_pct", "1.5"}},
        {"{\"rotary_pct\": -0.1}", GI8_ERR_FORMAT, {"rotary_pct", "-0.1"}},
        {"{\"rotary_pct\": true}", GI8_ERR_FORMAT, {"rotary_pct", "found true"}},
        {"{\"rotary_pct\": 0.27}", GI8_ERR_FORMAT, {"even", "found 25"}},
        {"{\"rotary_emb_base\": 0}", GI8_ERR_FORMAT, {"rotary_emb_base", "found 0"}},
        {"{\"rotary_emb_base\": 1e300}", GI8_ERR_FORMAT, {"rotary_emb_base", "1e+300"}},
        {"{\"layer_norm_eps\": -1e-5}", GI8_ERR_FORMAT, {"layer_norm_eps", "-1e-05"}},
        {"{\"layer_norm_eps\": \"1e-5\"}", GI8_ERR_FORMAT, {"layer_norm_eps", "a string"}},
        {"{\"hidden_act\": \"mish\"}", GI8_ERR_UNSUPPORTED, {"hidden_act", "\"mish\""}},
        {"{\"hidden_act\": 1}", GI8_ERR_FORMAT, {"hidden_act", "an integer"}},
        {"{\"use_parallel_residual\": 1}", GI8_ERR_FORMAT, {"use_parallel_residual", "an integer"}},
        {"{\"attention_bias\": \"no\"}", GI8_ERR_FORMAT, {"attention_bias", "a string"}},
        {"{\"tie_word_embeddings\": null}", GI8_ERR_FORMAT, {"tie_word_embeddings", "null"}},
        {"{\"eos_token_id\": 50432}", GI8_ERR_FORMAT, {"eos_token_id", "50432"}},
        {"{\"eos_token_id\": [1.5]}", GI8_ERR_FORMAT, {"eos_token_id", "a real number"}},
        {"{\"bos_token_id\": -2}", GI8_ERR_FORMAT, {"bos_token_id", "-2"}},
        {"{\"rope_scaling\": \"linear\"}", GI8_ERR_FORMAT, {"rope_scaling", "a string"}},
        {"{\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0}}",
         GI8_ERR_UNSUPPORTED,
         {"rope_scaling", "\"dynamic\""}},
        {"{\"rope_scaling\": {\"type\": \"linear\"}}", GI8_ERR_FORMAT, {"rope_scaling", "factor"}},
        {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}}",
         GI8_ERR_FORMAT,
         {"factor", "0"}},
        {"{\"rope_parameters\": {\"rope_type\": \"yarn\"}}",
         GI8_ERR_UNSUPPORTED,
         {"rope_parameters", "\"yarn\""}},
        {"{\"rope_parameters\": {\"partial_rotary_factor\": 2}}",
         GI8_ERR_FORMAT,
         {"partial_rotary_factor", "found 2"}},
        {"{\"quantization_config\": {\"quant_method\": \"gptq\"}}",
         GI8_ERR_UNSUPPORTED,
         {"quantization_config", "\"gptq\""}},
        {"{\"quantization_config\": {\"load_in_4bit\": true}}",
         GI8_ERR_UNSUPPORTED,
         {"quantization_config", "load_in_4bit"}},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        gptneox_config config;
        gi8_error error = GI8_ERROR_INIT;
        gi8_status status = load_text(table[i].text, &config, &error);
        if (status != table[i].status || error.status != status ||
            strstr(error.message, table[i].says[0]) == NULL ||
            strstr(error.message, table[i].says[1]) == NULL) {
            fail_msg("%s: %s: %s", table[i].text, gi8_status_name(status), error.message);
        }
        assert_int_equal(load_text(table[i].text, &config, NULL), status);
    }
}

static void too_deep_and_too_large(void **state) {
    (void)state;
    const size_t size = (size_t)5 << 20;
    char *text = malloc(size + 1);
    assert_non_null(text);
    gptneox_config config;
    gi8_error error = GI8_ERROR_INIT;
    memset(text, '[', size);
    text[size] = '\0';
    assert_int_equal(load_text(text, &config, &error), GI8_ERR_FORMAT);
    assert_non_null(strstr(error.message, "5242880 bytes, expected at most"));
    text[size / 2] = '\0';
    assert_int_equal(load_text(text, &config, &error), GI8_ERR_FORMAT);
    assert_non_null(strstr(error.message, "depth"));
    free(text);
}

static void missing_file(void **state) {
    (void)state;
    temp_dir dir = temp_dir_create();
    gptneox_config config;
    gi8_error error = GI8_ERROR_INIT;
    assert_int_equal(gptneoxi_config_load(&config, dir.path, &error), GI8_ERR_IO);
    assert_non_null(strstr(error.message, "config.json: cannot open the file: No such file"));
    temp_dir_remove(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(all_keys),
        cmocka_unit_test(activations),
        cmocka_unit_test(rotary),
        cmocka_unit_test(token_ids),
        cmocka_unit_test(quantized_by_bitsandbytes),
        cmocka_unit_test(wrong_values),
        cmocka_unit_test(too_deep_and_too_large),
        cmocka_unit_test(missing_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
