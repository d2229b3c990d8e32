import Glibc
import Reactor

/// The pages of the program's own code.
enum CodePages {
    /// Takes out of memory what the start has read of the executable and its libraries, about half of an idle sidecar's
    /// resident size: the kernel maps sixteen pages around each one that is touched, and most of them are of use to the
    /// start alone. Nothing is lost: code is never written, stays in the page cache, and is mapped again when it runs.
    static func giveBack() {
        guard let maps = try? FileSystem.read("/proc/self/maps", bytesMax: 1 << 20) else { return }
        for range in codeRanges(String(decoding: maps, as: UTF8.self)) {
            guard let start = unsafe UnsafeMutableRawPointer(bitPattern: range.lowerBound) else { continue }
            // A failure leaves things as they are.
            _ = unsafe madvise(start, Int(range.count), MADV_DONTNEED)
        }
    }

    /// Private mappings of files that may be run and not written (proc(5)): "START-END r-xp OFFSET DEVICE INODE PATH".
    static func codeRanges(_ maps: String) -> [Range<UInt>] {
        maps.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
            guard fields.count == 6, fields[1] == "r-xp", fields[5].drop(while: { $0 == " " }).hasPrefix("/")
            else {
                return nil
            }
            let ends = fields[0].split(separator: "-")
            guard ends.count == 2, let start = UInt(ends[0], radix: 16), let end = UInt(ends[1], radix: 16),
                start < end
            else { return nil }
            return start..<end
        }
    }
}
