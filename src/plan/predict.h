/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/learn.h"

/* What a prediction is made of, and in which words it says so. */

typedef enum {
    GW_LINK_GUESSED,  /* nothing is known */
    GW_LINK_MEASURED, /* by the agents */
    GW_LINK_FABRIC,   /* by moves between other hosts */
    GW_LINK_MOVES,    /* by moves between these two */
} GwLinkBasis;

typedef struct {
    const GwPlanInput *input;
    const GwMoveDecision *decision;
    GwMoveClass class;
    GwFit fit;
    GwKnown known;
    GwLinkBasis link;
    gboolean use_known, dirty_known, disks_known;
    gint64 dirty_found; /* by the sample; -1: none */
    gint64 others;      /* moves that use the hosts now */
    double fabric_moves;
} GwForecast;

/* predict.c. What a move over a link of which nothing is known is taken to get, bytes per second.
 */
double gw_predictor_link_bps(const GwPredictor *predictor);

/* The path of a move, as its prediction takes it. */
typedef struct {
    double bps; /* of the path itself: for one move that nobody limits */
    GwLinkBasis link;
} GwPredictedPath;

/* For plans: of the move by itself on its hosts. Who shares the links when is what their schedule
 * says. */
GwPrediction *gw_predict_alone(const GwPredictor *predictor, const GwPlanInput *input,
                               const GwCandidate *candidate, GwPredictedPath *path);

/* predict_words.c. Owned, NULL-terminated. */
char **gw_forecast_basis(const GwForecast *forecast, const GwModelled *said);
/* What to choose where it does not converge, or takes too long; NULL: nothing. */
char *gw_forecast_remedy(const GwForecast *forecast, const GwModelled *said);
/* Whether it would be broken off before it is over (R59). */
gboolean gw_forecast_is_too_long(const GwForecast *forecast, const GwModelled *said);
