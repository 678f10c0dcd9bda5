/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"

/* Ratings, as people like to look at them. */

/* Of a table: the rating at @path; nothing where there is none. */
char *gw_show_stars(GwSession *session, json_t *row, const char *path);
/* The colour of what gw_show_stars says. */
const char *gw_color_of_stars(json_t *row, const char *path);

/* Rating Explanation (R33): every factor, what weighs most first; nothing where there is none. What
 * to do about a factor is not said where @findings (NULL: none), shown beside it, say it. */
void gw_print_rating(GwSession *session, const char *heading, json_t *rating, json_t *findings);
