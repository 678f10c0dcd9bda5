/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"

/* Predictions in words: "12.3 s (9.1 s to 17 s)"; "" where nothing was predicted. */
char *gw_show_interval_ms(GwSession *session, json_t *row, const char *path);
char *gw_show_interval_bytes(GwSession *session, json_t *row, const char *path);
/* In a person's words. */
char *gw_show_converges(GwSession *session, json_t *row, const char *path);
/* The likeliest alone: for tables. */
char *gw_show_likely_ms(GwSession *session, json_t *row, const char *path);
/* Usage: of what is not known nothing is said. */
char *gw_show_known_bytes(GwSession *session, json_t *row, const char *path);
char *gw_show_known_kib(GwSession *session, json_t *row, const char *path);
char *gw_show_known_rate(GwSession *session, json_t *row, const char *path);
char *gw_show_permille(GwSession *session, json_t *row, const char *path);
/* Each figure's basis, a line each; nothing where there is no prediction. */
void gw_print_basis(GwSession *session, json_t *prediction);
