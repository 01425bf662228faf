// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import CAsterisk

/// What a row says about the facts of the tables, in the words of CLI, AMI and dialplan.
extension ForkRow {
  /// The value of one fact, control characters escaped, so that it fits into a line.
  func text(_ fact: ForkFact.Value) -> Bytes {
    switch fact {
    case .channel: escaped(channel)
    case .uniqueID: escaped(uniqueID)
    case .linkedID: escaped(linkedID)
    case .id: escaped(id)
    case .url: escaped(url)
    case .endpoint: escaped(endpoint.isEmpty ? url : endpoint)
    case .direction: direction
    case .format: format
    case .state: escaped(state)
    case .reason: escaped(reason)
    case .muted: Bytes(text: mutedWord)
    case .duration: milliseconds(duration / 1_000_000)
    case .buffer: tenths(ringMilliseconds)
    case .counter(let counter): text(counter)
    case .confirmation: Bytes(text: confirmation?.word ?? "none")
    case .response: escaped(response)
    case .transcript: escaped(transcript)
    }
  }

  /// The value of one key of AUDIOFORK(), as it is.
  func text(_ key: FunctionKey) -> Bytes {
    switch key.value {
    case .url: url
    case .state: state
    case .direction: direction
    case .format: format
    case .duration: milliseconds(duration / 1_000_000)
    case .counter(let counter): text(counter)
    case .response: response
    case .transcript: transcript
    }
  }

  /// Muted directions in the words of AMI.
  private var mutedWord: StaticString {
    switch muted & 3 {
    case 1: "read"
    case 2: "write"
    case 3: "both"
    default: "no"
    }
  }

  /// The counter in decimal. The bits of a signed one are those of an Int.
  func text(_ counter: Counter) -> Bytes { decimalText(Int(truncatingIfNeeded: counters[counter])) }
}

private func decimalText(_ value: Int) -> Bytes {
  var text = Bytes()
  text.append(decimal: value)
  return text
}

/// Milliseconds as seconds with three decimals.
func milliseconds(_ value: Int64) -> Bytes {
  var text = decimalText(Int(truncatingIfNeeded: value / 1000))
  text.append(".")
  let rest = Int(truncatingIfNeeded: value % 1000)
  if rest < 100 { text.append("0") }
  if rest < 10 { text.append("0") }
  text.append(decimal: rest)
  return text
}

/// Milliseconds as seconds with one decimal, rounded down.
func tenths(_ milliseconds: Int64) -> Bytes {
  var text = decimalText(Int(truncatingIfNeeded: milliseconds / 1000))
  text.append(".")
  text.append(decimal: Int(truncatingIfNeeded: milliseconds % 1000 / 100))
  return text
}

/// Thousandths, 0 to 1000, as a number with two decimals, rounded to the nearest.
func hundredths(_ thousandths: UInt64) -> Bytes {
  let value = Int(truncatingIfNeeded: min(thousandths, 1000) &+ 5) / 10
  var text = decimalText(value / 100)
  text.append(value % 100 < 10 ? ".0" : ".")
  text.append(decimal: value % 100)
  return text
}
