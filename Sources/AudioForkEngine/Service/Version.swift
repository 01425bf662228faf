// SPDX-License-Identifier: Apache-2.0
internal import CAudioForkABI

/// Version of the product, as `audiofork-engine --version`, the control link and the User-Agent header say it.
package let audioforkVersion = AF_VERSION
