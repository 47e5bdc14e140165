// SPDX-License-Identifier: Apache-2.0

//go:build race

package behaviour

const raceDetector = true
