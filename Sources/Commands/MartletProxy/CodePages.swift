import Glibc
import Reactor

/// The pages of the program's own code.
enum CodePages {
    /// Takes out of memory what the start has read of the executable and its libraries, about half of an idle sidecar's
    /// resident size: the kernel maps sixteen pages around each one that is touched, and most of them are of use to the
    /// start alone. Nothing is lost: code is never written, stays in the page cache, and is mapped again when it runs.
    static func giveBack() {
        guard let maps = try? FileSystem.read("/proc/self/maps", bytesMax: 1 << 20) else { return }
        for range in codeRanges(maps) {
            guard let start = unsafe UnsafeMutableRawPointer(bitPattern: range.lowerBound) else { continue }
            // A failure leaves things as they are.
            _ = unsafe madvise(start, Int(range.count), MADV_DONTNEED)
        }
    }

    /// Private mappings of files that may be run and not written (proc(5)): "START-END r-xp OFFSET DEVICE INODE PATH".
    static func codeRanges(_ maps: [UInt8]) -> [Range<UInt>] {
        maps.split(separator: UInt8(ascii: "\n")).compactMap { line in
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5)
            guard fields.count == 6, fields[1].elementsEqual("r-xp".utf8),
                fields[5].first(where: { $0 != UInt8(ascii: " ") }) == UInt8(ascii: "/")
            else { return nil }
            let ends = fields[0].split(separator: UInt8(ascii: "-"))
            guard ends.count == 2, let start = number(ends[0]), let end = number(ends[1]), start < end
            else { return nil }
            return start..<end
        }
    }

    /// Of hexadecimal digits in lower case.
    private static func number(_ digits: ArraySlice<UInt8>) -> UInt? {
        var number: UInt = 0
        for digit in digits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): number = number << 4 | UInt(digit - 0x30)
            case UInt8(ascii: "a")...UInt8(ascii: "f"): number = number << 4 | UInt(digit - 0x57)
            default: return nil
            }
        }
        return digits.isEmpty || digits.count > 16 ? nil : number
    }
}
