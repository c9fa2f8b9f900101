#include "branch.h"

#include <stdlib.h>
#include <string.h>

enum { WEAKLY_TAKEN = 2, STRONGLY_TAKEN = 3, FETCH_WORD = 8 };

int branch_predictor_create(struct branch_predictor *predictor, uint32_t entries) {
    if (entries & (entries - 1))
        return -1;
    predictor->count = entries;
    if (!entries)
        return 0;
    predictor->entries = calloc(entries, sizeof *predictor->entries);
    return predictor->entries ? 0 : -1;
}

void branch_predictor_destroy(struct branch_predictor *predictor) {
    free(predictor->entries);
    predictor->entries = NULL;
}

void branch_predictor_forget(struct branch_predictor *predictor) {
    if (predictor->count)
        memset(predictor->entries, 0, predictor->count * sizeof *predictor->entries);
}

enum prediction branch_predict(struct branch_predictor *predictor, enum branch_kind kind, uint32_t address,
                               uint32_t target, bool taken) {
    if (!predictor->count)
        return !taken ? PREDICTED : kind == BRANCH_INDIRECT ? MISPREDICTED : FOUND_BY_DECODER;
    struct branch_entry *entry = &predictor->entries[address / FETCH_WORD & (predictor->count - 1)];
    bool known = entry->valid && entry->address == address;
    bool predicted_taken = known && entry->counter >= WEAKLY_TAKEN;
    bool right = predicted_taken == taken && (!taken || entry->target == target);
    if (taken && !known) {
        *entry = (struct branch_entry){address, target, WEAKLY_TAKEN, true};
    } else if (known) {
        if (taken && entry->counter < STRONGLY_TAKEN)
            entry->counter++;
        if (!taken && entry->counter > 0)
            entry->counter--;
        if (taken)
            entry->target = target;
    }
    if (right)
        return PREDICTED;
    return kind == BRANCH_DIRECT ? FOUND_BY_DECODER : MISPREDICTED;
}
