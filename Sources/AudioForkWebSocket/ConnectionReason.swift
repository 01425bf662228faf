// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import NIOCore

/// What a socket's error means, for the reader of a log: a word, a colon and text.
package func connectionReason(_ error: any Error) -> String {
  switch error {
  case let error as ConnectionFailure: error.reason
  case let error as IOError: "connection: \(systemMessage(error.errnoCode))"
  case ChannelError.connectTimeout: "connection: no answer from the host"
  case ChannelError.eof, ChannelError.ioOnClosedChannel, ChannelError.alreadyClosed, ChannelError.inputClosed,
    ChannelError.outputClosed:
    "connection: closed"
  default: "connection: \(shown(String(describing: error)))"
  }
}

/// The errors that connections meet, in the system's own words; the rest by number.
private func systemMessage(_ code: CInt) -> String {
  switch code {
  case ECONNREFUSED: "refused; nothing listens there"
  case ECONNRESET: "reset by the server"
  case ECONNABORTED: "aborted"
  case EPIPE: "closed by the server"
  case ETIMEDOUT: "timed out"
  case EHOSTUNREACH: "no route to the host"
  case ENETUNREACH: "network is unreachable"
  case ENETDOWN: "network is down"
  case EADDRNOTAVAIL: "no local address or port is free for it"
  case EACCES, EPERM: "not permitted (a firewall?)"
  case EMFILE: "this process has no descriptor free"
  case ENFILE: "the system has no descriptor free"
  case ENOBUFS, ENOMEM: "the system has no memory for it"
  default: "error \(code)"
  }
}
