/* config.h - reading config.json. */
#ifndef GPTNEOXI_CONFIG_H
#define GPTNEOXI_CONFIG_H

#include "gptneox.h"

/* A config.json of more bytes than that is refused. */
#define GPTNEOXI_MAX_CONFIG_SIZE ((size_t)4 << 20)

/* Reads DIR/config.json and checks every value before anything is computed from it. Statuses:
 * GI8_ERR_IO, GI8_ERR_FORMAT, GI8_ERR_UNSUPPORTED, GI8_ERR_MEMORY; the sentence names file and
 * key. */
gi8_status gptneoxi_config_load(gptneox_config *config, const char *dir, gi8_error *error);

#endif
