#include "branch.h"

#include <stdlib.h>
#include <string.h>

enum { WEAKLY_TAKEN = 2, STRONGLY_TAKEN = 3, FETCH_WORD = 8, PASSES_MAX = UINT8_MAX };

int branch_predictor_create(struct branch_predictor *predictor, const struct parameters *p) {
    uint32_t count = (uint32_t)p->branch_target_entries, ways = (uint32_t)p->branch_target_ways;
    predictor->parameters = p;
    if (!count)
        return 0;
    if (!ways || ways > count || (count & (count - 1)) || (ways & (ways - 1)))
        return -1;
    predictor->ways = ways;
    predictor->sets = count / ways;
    predictor->entries = calloc(count, sizeof *predictor->entries);
    return predictor->entries ? 0 : -1;
}

void branch_predictor_destroy(struct branch_predictor *predictor) {
    free(predictor->entries);
    predictor->entries = NULL;
}

void branch_predictor_forget(struct branch_predictor *predictor) {
    if (predictor->sets)
        memset(predictor->entries, 0, predictor->sets * predictor->ways * sizeof *predictor->entries);
    memset(predictor->returns, 0, sizeof predictor->returns);
}

/* The entry of the branch at that address, or the one of its set that was used the longest time ago. */
static struct branch_entry *find(struct branch_predictor *predictor, uint32_t address) {
    struct branch_entry *set = &predictor->entries[(address / FETCH_WORD & (predictor->sets - 1)) * predictor->ways];
    struct branch_entry *oldest = set;
    for (struct branch_entry *entry = set; entry < set + predictor->ways; entry++) {
        if (entry->valid && entry->address == address)
            return entry;
        if (entry->used < oldest->used)
            oldest = entry;
    }
    return oldest;
}

static void learn(struct branch_entry *entry, const struct branch *branch, int32_t counted_passes) {
    if (branch->taken) {
        entry->target = branch->target;
        entry->direction += entry->direction < STRONGLY_TAKEN;
        entry->passes += entry->passes < PASSES_MAX;
    } else {
        entry->direction -= entry->direction > 0;
        entry->repeats = entry->passes && entry->passes == entry->last_passes && entry->passes <= counted_passes;
        entry->last_passes = entry->passes;
        entry->passes = 0;
    }
}

/* The target of a branch if it is taken: of a return, what the last call left on the stack. */
static uint32_t predicted_target(const struct branch_predictor *predictor, const struct branch *branch,
                                 const struct branch_entry *known) {
    if (branch->instruction->is_return && predictor->parameters->return_stack_entries)
        return predictor->returns[predictor->last_return];
    return known ? known->target : 0;
}

/* What a call or a return that is taken leaves on the stack. */
static void keep_returns(struct branch_predictor *predictor, const struct branch *branch) {
    uint32_t entries = (uint32_t)predictor->parameters->return_stack_entries;
    if (!entries || !branch->taken)
        return;
    if (branch->instruction->is_return)
        predictor->last_return = (predictor->last_return + entries - 1) % entries;
    if (branch->instruction->is_call) {
        predictor->last_return = (predictor->last_return + 1) % entries;
        predictor->returns[predictor->last_return] = branch->behind;
    }
}

enum prediction branch_predict(struct branch_predictor *predictor, const struct branch *branch) {
    const struct instruction *instruction = branch->instruction;
    bool is_conditional = instruction->branch == BRANCH_CONDITIONAL || (instruction->traits & TRAIT_CONDITIONAL);
    if (!predictor->sets)
        return !branch->taken ? PREDICTED : instruction->branch == BRANCH_INDIRECT ? MISPREDICTED : FOUND_BY_DECODER;
    struct branch_entry *entry = find(predictor, instruction->address);
    bool is_known = entry->valid && entry->address == instruction->address;
    bool by_cache = is_known && entry->direction >= WEAKLY_TAKEN, predicted = by_cache;
    if (is_known && entry->repeats && entry->passes <= entry->last_passes)
        predicted = entry->passes < entry->last_passes;
    bool is_target = predicted_target(predictor, branch, is_known ? entry : NULL) == branch->target;
    keep_returns(predictor, branch);
    if (branch->taken && !is_known)
        *entry = (struct branch_entry){.address = instruction->address, .direction = WEAKLY_TAKEN - 1, .valid = true};
    if (branch->taken || is_known) {
        entry->used = ++predictor->branches;
        learn(entry, branch, predictor->parameters->counted_passes);
    }
    if (predicted == branch->taken && (!branch->taken || is_target))
        return predicted == by_cache ? PREDICTED : OVERRIDDEN;
    bool is_decoded = instruction->branch == BRANCH_DIRECT || (instruction->is_return && is_target);
    return is_decoded && !is_conditional ? FOUND_BY_DECODER : MISPREDICTED;
}
