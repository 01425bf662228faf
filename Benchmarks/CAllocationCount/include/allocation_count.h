/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AF_ALLOCATION_COUNT_H
#define AF_ALLOCATION_COUNT_H

#include <stdint.h>

/* How often the calling thread has asked for memory so far. */
uint64_t af_allocation_count(void);

#endif
