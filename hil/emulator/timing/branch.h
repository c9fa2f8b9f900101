/* The branch target cache: for each branch it holds, its last target and a two-bit counter of its direction. */
#ifndef HILNAS_TIMING_BRANCH_H
#define HILNAS_TIMING_BRANCH_H

#include "parameters.h"

struct branch_entry {
    uint32_t address, target;
    uint8_t counter;
    bool valid;
};

struct branch_predictor {
    struct branch_entry *entries;
    uint32_t count; /* a power of two; 0: there is none, and every branch counts as not taken until it is decoded */
};

enum prediction { PREDICTED, FOUND_BY_DECODER, MISPREDICTED };

int branch_predictor_create(struct branch_predictor *predictor, uint32_t entries);
void branch_predictor_destroy(struct branch_predictor *predictor);

void branch_predictor_forget(struct branch_predictor *predictor);

/* Predicts the branch, tells how the prediction went, and learns from it. */
enum prediction branch_predict(struct branch_predictor *predictor, enum branch_kind kind, uint32_t address,
                               uint32_t target, bool taken);

#endif
