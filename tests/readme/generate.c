/* generate.c - continues a prompt with a model. */
#include <stdio.h>
#include <string.h>

#include "gi8_cpu.h"
#include "gptneox.h"

static bool print(void *user, const char *text, size_t size) {
    return fwrite(text, 1, size, user) == size;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: generate MODEL_DIR PROMPT\n");
        return 2;
    }
    gi8_error error = GI8_ERROR_INIT;
    gptneox_model *model = NULL;
    gptneox_session *session = NULL;
    gptneox_sampler *sampler = NULL;
    int32_t *ids = NULL;
    size_t n_ids = 0;

    gi8_backend *backend = gi8_cpu_backend_create(NULL, &error);
    if (backend != NULL) { /* NULL: linear layers in int8, outliers from 6.0 on */
        model = gptneox_model_load(argv[1], backend, NULL, &error);
    }
    if (model != NULL) { /* a KV cache for one sequence */
        session = gptneox_session_create(model, NULL, &error);
    }
    if (session != NULL) {
        gptneox_sampler_params greedy = GPTNEOX_SAMPLER_PARAMS_DEFAULT;
        greedy.temperature = 0;
        sampler = gptneox_sampler_create(&greedy, &error);
    }
    const gptneox_tokenizer *tokenizer = gptneox_model_tokenizer(model);
    if (sampler != NULL && gptneox_tokenize(tokenizer, argv[2], strlen(argv[2]), 0, &ids, &n_ids,
                                            &error) == GI8_OK) {
        gptneox_generate_params params = GPTNEOX_GENERATE_PARAMS_DEFAULT;
        params.max_tokens = 24;
        params.on_text = print;
        params.user = stdout;
        gptneox_generate(session, sampler, ids, (int32_t)n_ids, &params, NULL, &error);
        printf("\n");
    }
    if (error.status != GI8_OK) {
        fprintf(stderr, "%s\n", error.message);
    }
    gptneox_ids_free(ids);
    gptneox_sampler_free(sampler);
    gptneox_session_free(session);
    gptneox_model_free(model);
    gi8_backend_free(backend);
    return error.status != GI8_OK;
}
