/* SPDX-License-Identifier: Apache-2.0 */
/*!
 * \file
 * \brief libFuzzer as a library: our program has a main of its own, which chooses what is fuzzed.
 */
#ifndef LIBFUZZER_H
#define LIBFUZZER_H

#include <stddef.h>
#include <stdint.h>

/*! \brief Fuzzes `run` as the arguments say; https://llvm.org/docs/LibFuzzer.html has them. */
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*run)(const uint8_t *data, size_t size));

#endif /* LIBFUZZER_H */
