/* SPDX-License-Identifier: Apache-2.0 */
/*!
 * \file
 * \brief What the files of this target share.
 */
#ifndef AF_DESCRIPTORS_H
#define AF_DESCRIPTORS_H

/*! \brief Closes every descriptor above this one. */
void af_close_above(int last);

#endif /* AF_DESCRIPTORS_H */
