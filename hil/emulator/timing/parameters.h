/* Parameters of a core and its memories. Their values, with sources, are data: boards/cores/ and the boards' memories.
 */
#ifndef HILNAS_TIMING_PARAMETERS_H
#define HILNAS_TIMING_PARAMETERS_H

#include "instruction.h"

#define CORE_PARAMETERS(X)                                                                                             \
    X(issue_width)                                                                                                     \
    X(it_folds)                                                                                                        \
    X(fetch_bytes)                                                                                                     \
    X(fetch_queue_words)                                                                                               \
    X(taken_branch_bubble)                                                                                             \
    X(mispredicted)                                                                                                    \
    X(mispredicted_flags_known)                                                                                        \
    X(flags_known_after)                                                                                               \
    X(unpredicted_direct_branch)                                                                                       \
    X(loaded_target)                                                                                                   \
    X(branch_target_entries)                                                                                           \
    X(branch_target_ways)                                                                                              \
    X(counted_passes)                                                                                                  \
    X(overridden_branch)                                                                                               \
    X(return_stack_entries)                                                                                            \
    X(barrier)                                                                                                         \
    X(fused_hold)                                                                                                      \
    X(divide)                                                                                                          \
    X(table_branch)                                                                                                    \
    X(multiple_start)                                                                                                  \
    X(multiple_words)                                                                                                  \
    X(system)                                                                                                          \
    X(fp_divide)                                                                                                       \
    X(fp_square_root)                                                                                                  \
    X(fp_divide_overlap)                                                                                               \
    X(fp_fused)                                                                                                        \
    X(fp_move_pair)                                                                                                    \
    X(double_add)                                                                                                      \
    X(double_multiply)                                                                                                 \
    X(double_fused)                                                                                                    \
    X(double_divide)                                                                                                   \
    X(load_data_phase)                                                                                                 \
    X(load_behind_store)                                                                                               \
    X(load_of_stored_word)                                                                                             \
    X(other_condition)                                                                                                 \
    X(store_at_index)                                                                                                  \
    X(bank_conflict)                                                                                                   \
    X(unaligned_load_older)                                                                                            \
    X(unaligned_load_younger)                                                                                          \
    X(unaligned_load_pair)                                                                                             \
    X(unaligned_load_same_bank)                                                                                        \
    X(unaligned_load_odd_word)                                                                                         \
    X(unaligned_store_drain)                                                                                           \
    X(narrow_store_drain)                                                                                              \
    X(odd_store_multiple)                                                                                              \
    X(store_transit)                                                                                                   \
    X(store_buffer_entries)                                                                                            \
    X(linefill_buffers)                                                                                                \
    X(streaming_after_lines)                                                                                           \
    X(fetch_ahead)                                                                                                     \
    X(device_access)                                                                                                   \
    X(exception)                                                                                                       \
    X(instruction_cache_bytes)                                                                                         \
    X(instruction_cache_ways)                                                                                          \
    X(data_cache_bytes)                                                                                                \
    X(data_cache_ways)                                                                                                 \
    X(cache_line_bytes)                                                                                                \
    X(random_replacement)

#define DECLARE_PARAMETER(name) int32_t name;

struct parameters {
    CORE_PARAMETERS(DECLARE_PARAMETER)
    int8_t latency[KIND_COUNT]
                  [ROLE_COUNT]; /* cycles between the issue of the producer and of the reader; 0: same cycle */
};

/* Why a cycle passed. Misses of the data cache follow, one cause a memory. */
#define CAUSES(X)                                                                                                      \
    X(ISSUE, issue)                                                                                                    \
    X(OPERAND, early_operand)                                                                                          \
    X(LOAD_USE, load_use)                                                                                              \
    X(MULTIPLY, multiply)                                                                                              \
    X(DIVIDE, divide)                                                                                                  \
    X(FLOATING_POINT, floating_point)                                                                                  \
    X(FETCH, fetch)                                                                                                    \
    X(BRANCH, branch)                                                                                                  \
    X(INSTRUCTION_MISS, instruction_miss)                                                                              \
    X(UNALIGNED, unaligned)                                                                                            \
    X(BANK_CONFLICT, bank_conflict)                                                                                    \
    X(STORE_BUFFER, store_buffer)                                                                                      \
    X(DEVICE, device)                                                                                                  \
    X(EXCEPTION, exception)                                                                                            \
    X(SLEEP, sleep)

#define ENUMERATE_CAUSE(upper, lower) CAUSE_##upper,
enum { MEMORIES_MAX = 12 };
enum cause { CAUSES(ENUMERATE_CAUSE) CAUSE_DATA_MISS, CAUSE_COUNT = CAUSE_DATA_MISS + MEMORIES_MAX };

#endif
