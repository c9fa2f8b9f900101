/* Branch prediction: a branch target cache, counters of loops' passes in its entries, and a stack of return addresses.
 */
#ifndef HILNAS_TIMING_BRANCH_H
#define HILNAS_TIMING_BRANCH_H

#include "parameters.h"

/* What is known of a branch: its last target, a two-bit counter of its direction, and how many times it was taken
 * since it last was not, and before that. */
struct branch_entry {
    uint64_t used; /* when it was last used, counted in branches */
    uint32_t address, target;
    uint8_t direction, passes, last_passes;
    bool valid;
    bool repeats; /* it was taken last_passes times twice running */
};

enum { RETURN_STACK_MAX = 16 };

struct branch_predictor {
    const struct parameters *parameters;
    struct branch_entry *entries; /* sets x ways */
    uint64_t branches;
    uint32_t sets, ways; /* sets 0: there is none, and every branch counts as not taken until it is decoded */
    uint32_t
        returns[RETURN_STACK_MAX]; /* a circular buffer, which notices neither too many calls nor too many returns */
    uint32_t last_return;
};

/* A branch that was executed. */
struct branch {
    const struct instruction *instruction;
    uint32_t target; /* of what runs next */
    uint32_t behind; /* address of the instruction behind it */
    bool taken;
};

enum prediction { PREDICTED, OVERRIDDEN, FOUND_BY_DECODER, MISPREDICTED };

/* 0, or -1 when there is no memory or the geometry is not one of powers of two. */
int branch_predictor_create(struct branch_predictor *predictor, const struct parameters *parameters);
void branch_predictor_destroy(struct branch_predictor *predictor);

void branch_predictor_forget(struct branch_predictor *predictor);

/* Predicts the branch, tells how the prediction went, and learns from it. */
enum prediction branch_predict(struct branch_predictor *predictor, const struct branch *branch);

#endif
