import RegularExpressions

/// The small languages inside scalars: durations, ratios, names, paths, header names.
public enum Syntax {
    struct Fault {
        let problem: String
        let remedy: String
    }

    // MARK: Durations (Gateway API, GEP-2257)

    /// Up to four numbers of up to five digits, each with a unit: `h`, `m`, `s`, `ms`.
    public static func duration(_ text: String) -> Duration? {
        let bytes = Array(text.utf8)
        var index = 0
        var parts = 0
        var total = Duration.zero
        while index < bytes.count {
            var number: Int64 = 0
            let start = index
            while index < bytes.count, (0x30...0x39).contains(bytes[index]) {
                guard index - start < 5 else { return nil }
                number = number * 10 + Int64(bytes[index] - 0x30)
                index += 1
            }
            guard index > start, index < bytes.count, parts < 4 else { return nil }
            parts += 1
            switch bytes[index] {
            case UInt8(ascii: "h"): total += .seconds(number * 3600)
            case UInt8(ascii: "s"): total += .seconds(number)
            case UInt8(ascii: "m"):
                if index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "s") {
                    index += 1
                    total += .milliseconds(number)
                } else {
                    total += .seconds(number * 60)
                }
            default: return nil
            }
            index += 1
        }
        return parts > 0 ? total : nil
    }

    /// The duration as an operator would write it.
    public static func text(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        let parts: [(Int64, String)] = [
            (seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"),
            (attoseconds / 1_000_000_000_000_000, "ms"),
        ]
        let text = parts.filter { $0.0 != 0 }.map { "\($0.0)\($0.1)" }.joined()
        return text.isEmpty ? "0s" : text
    }

    // MARK: Ratios

    /// `20%` or `0.5%`: from 0 to 100.
    public static func percent(_ text: String) -> Double? {
        guard text.hasSuffix("%"), let percent = Double(text.dropLast()), (0...100).contains(percent),
            text.utf8.first.map({ (0x30...0x39).contains($0) }) == true
        else { return nil }
        return percent
    }

    // MARK: Names

    /// A label of RFC 1123: what services and namespaces may be called, since the name becomes part of a host name.
    static func label(_ text: String) -> Fault? {
        let isGood =
            (1...63).contains(text.utf8.count)
            && text.utf8.allSatisfy { isLowercaseOrDigit($0) || $0 == 0x2d }
            && text.utf8.first != 0x2d && text.utf8.last != 0x2d
        return isGood
            ? nil
            : Fault(
                problem: "'\(text.clipped)' is not a name",
                remedy: "use 1 to 63 lower-case letters, digits and '-', with a letter or digit at both ends")
    }

    /// A DNS subdomain: what other resources may be called.
    static func subdomain(_ text: String) -> Fault? {
        let isGood =
            text.utf8.count <= 253
            && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy {
                label(String($0)) == nil
            }
        return isGood
            ? nil
            : Fault(
                problem: "'\(text.clipped)' is not a name",
                remedy:
                    "use up to 253 lower-case letters, digits, '-' and '.', with a letter or digit at both ends"
            )
    }

    /// Keys of labels and annotations: an optional DNS prefix and '/', then a name.
    static func labelKey(_ text: String) -> Fault? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let name = parts.last ?? ""
        let isGood =
            parts.count <= 2 && (1...63).contains(name.utf8.count) && name.utf8.allSatisfy(isNameByte)
            && (parts.count == 1 || subdomain(String(parts[0])) == nil)
        return isGood
            ? nil
            : Fault(problem: "'\(text.clipped)' is not a label key", remedy: "write NAME or PREFIX/NAME")
    }

    /// A SPIFFE trust domain (SPIFFE-ID specification, 2.1).
    static func trustDomain(_ text: String) -> Fault? {
        let isGood =
            (1...255).contains(text.utf8.count)
            && text.utf8.allSatisfy { isLowercaseOrDigit($0) || $0 == 0x2d || $0 == 0x2e || $0 == 0x5f }
        return isGood
            ? nil
            : Fault(
                problem: "'\(text.clipped)' is not a trust domain",
                remedy: "use up to 255 lower-case letters, digits, '.', '-' and '_'")
    }

    // MARK: HTTP

    /// A field name (RFC 9110, 5.1: token).
    static func headerName(_ text: String) -> Fault? {
        let isGood = (1...256).contains(text.utf8.count) && text.utf8.allSatisfy(isTokenByte)
        return isGood
            ? nil
            : Fault(problem: "'\(text.clipped)' is not a header name", remedy: "use letters, digits and '-'")
    }

    /// A field value (RFC 9110, 5.5): visible ASCII, spaces and tabs inside.
    static func headerValue(_ text: String) -> Fault? {
        let isGood =
            text.utf8.count <= 4096
            && text.utf8.allSatisfy { $0 == 0x09 || ($0 >= 0x20 && $0 != 0x7f) }
            && text.utf8.first != 0x20 && text.utf8.last != 0x20
        return isGood
            ? nil
            : Fault(
                problem: "this is not a header value",
                remedy: "write one line of up to 4096 bytes, with no space at either end")
    }

    /// A method (RFC 9110, 9.1: token), in capitals as Gateway API has it.
    static func method(_ text: String) -> Fault? {
        let isGood = (1...32).contains(text.utf8.count) && text.utf8.allSatisfy { (0x41...0x5a).contains($0) }
        return isGood
            ? nil
            : Fault(problem: "'\(text.clipped)' is not a method", remedy: "write it in capitals, such as GET")
    }

    /// An absolute path as Gateway API allows it in a match.
    static func path(_ text: String) -> Fault? {
        let forbidden = ["//", "/./", "/../", "%2f", "%2F", "#", "?"]
        let isGood =
            text.hasPrefix("/") && text.utf8.count <= 1024 && !text.hasSuffix("/..") && !text.hasSuffix("/.")
            && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f } && !forbidden.contains { text.contains($0) }
        return isGood
            ? nil
            : Fault(
                problem: "'\(text.clipped)' is not a path to match",
                remedy: "begin with '/', and use no '//', '/./', '/../', '#', '?' or spaces")
    }

    /// A regular expression that can be matched in linear time: no look-around, no back-references.
    static func regularExpression(_ text: String) -> Fault? {
        guard (1...1024).contains(text.utf8.count) else {
            return Fault(problem: "the expression is empty or too long", remedy: "use 1 to 1024 bytes")
        }
        do throws(RegularExpression.Refusal) {
            _ = try RegularExpression(text)
            return nil
        } catch {
            return Fault(
                problem: error.description,
                remedy: "write an RE2 expression: no look-around, no back-references")
        }
    }

    /// A host name without port, or an address: what `hostname` of a redirect or rewrite may be.
    static func hostName(_ text: String) -> Fault? { subdomain(text) }

    /// An IPv4 or IPv6 address.
    static func address(_ text: String) -> Fault? {
        IPAddress(text) != nil
            ? nil
            : Fault(
                problem: "'\(text.clipped)' is not an IP address",
                remedy: "write one such as 10.0.0.7 or fd00::7; for a host name use 'dns'")
    }

    private static func isLowercaseOrDigit(_ byte: UInt8) -> Bool {
        (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        isLowercaseOrDigit(byte) || (0x41...0x5a).contains(byte) || byte == 0x2d || byte == 0x2e
            || byte == 0x5f
    }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        isNameByte(byte) || "!#$%&'*+^`|~".utf8.contains(byte)
    }
}
