/* types.c - facts about element types. */
#include "ggml-int8/gi8_types.h"

size_t gi8_type_size(gi8_type type) {
    switch (type) {
    case GI8_TYPE_F32: return sizeof(float);
    case GI8_TYPE_F16: return sizeof(uint16_t);
    case GI8_TYPE_BF16: return sizeof(uint16_t);
    case GI8_TYPE_I8: return sizeof(int8_t);
    case GI8_TYPE_I32: return sizeof(int32_t);
    case GI8_TYPE_COUNT: break;
    }
    return 0;
}

const char *gi8_type_name(gi8_type type) {
    switch (type) {
    case GI8_TYPE_F32: return "F32";
    case GI8_TYPE_F16: return "F16";
    case GI8_TYPE_BF16: return "BF16";
    case GI8_TYPE_I8: return "I8";
    case GI8_TYPE_I32: return "I32";
    case GI8_TYPE_COUNT: break;
    }
    return "unknown";
}

int gi8_type_is_float(gi8_type type) {
    return type == GI8_TYPE_F32 || type == GI8_TYPE_F16 || type == GI8_TYPE_BF16;
}
