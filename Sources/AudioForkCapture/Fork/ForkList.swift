// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import CAsterisk

/// A list of forks that is threaded through them. Each step takes the same time however long the list is, and none
/// allocates. With the table's lock held.
struct ForkList {
  private let kind: Int
  private(set) var first: ForkPointer?
  private var last: ForkPointer?

  init(_ kind: af_fork_list) { self.kind = Int(kind.rawValue) }

  func contains(_ fork: ForkPointer) -> Bool { place(fork).pointee.is_taken != 0 }

  func next(_ fork: ForkPointer) -> ForkPointer? { place(fork).pointee.next }

  /// Adds a fork at the end, unless it is in the list.
  mutating func append(_ fork: ForkPointer) {
    guard !contains(fork) else { return }
    place(fork).pointee = af_fork_place(next: nil, previous: last, is_taken: 1)
    if let last { place(last).pointee.next = fork } else { first = fork }
    last = fork
  }

  /// Takes a fork out, if it is in the list.
  mutating func remove(_ fork: ForkPointer) {
    guard contains(fork) else { return }
    let old = place(fork).pointee
    if let previous = old.previous { place(previous).pointee.next = old.next } else { first = old.next }
    if let next = old.next { place(next).pointee.previous = old.previous } else { last = old.previous }
    place(fork).pointee = af_fork_place(next: nil, previous: nil, is_taken: 0)
  }

  private func place(_ fork: ForkPointer) -> UnsafeMutablePointer<af_fork_place> {
    UnsafeMutableRawPointer(fork).advanced(by: Int(AF_FORK_PLACES_OFFSET.rawValue))
      .assumingMemoryBound(to: af_fork_place.self).advanced(by: kind)
  }
}

/// Finds forks by their ids: a hash table that is threaded through them. With the table's lock held.
struct ForkIndex {
  /// So many that a bucket of the largest table that has been measured, 2000 forks, holds one fork in two.
  private static let bucketCount = 4096
  /// Empty while there is no fork, so that a module that is unloaded leaves nothing behind.
  private var buckets = [ForkPointer?]()
  private var count = 0

  mutating func insert(_ fork: ForkPointer) {
    if buckets.isEmpty { buckets = [ForkPointer?](repeating: nil, count: ForkIndex.bucketCount) }
    count &+= 1
    let hash = ForkIndex.hash(bytes(fork.pointee.id))
    fork.pointee.id_hash = hash
    fork.pointee.bucket_next = buckets[ForkIndex.bucket(hash)]
    buckets[ForkIndex.bucket(hash)] = fork
  }

  mutating func remove(_ fork: ForkPointer) {
    let bucket = ForkIndex.bucket(fork.pointee.id_hash)
    if buckets[bucket] == fork {
      buckets[bucket] = fork.pointee.bucket_next
    } else {
      var row = buckets[bucket]
      while let previous = row, previous.pointee.bucket_next != fork { row = previous.pointee.bucket_next }
      row?.pointee.bucket_next = fork.pointee.bucket_next
    }
    fork.pointee.bucket_next = nil
    count &-= 1
    if count == 0 { buckets = [] }
  }

  func find(_ id: Bytes) -> ForkPointer? {
    guard !buckets.isEmpty else { return nil }
    let hash = ForkIndex.hash(id)
    var row = buckets[ForkIndex.bucket(hash)]
    while let fork = row {
      if fork.pointee.id_hash == hash, isSame(fork.pointee.id, id) { return fork }
      row = fork.pointee.bucket_next
    }
    return nil
  }

  private static func bucket(_ hash: UInt32) -> Int { Int(hash) & (bucketCount &- 1) }

  /// FNV-1a, 32 bits.
  private static func hash(_ id: Bytes) -> UInt32 {
    var hash: UInt32 = 2_166_136_261
    for byte in id { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    return hash
  }
}
