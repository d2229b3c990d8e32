/// A strftime format as Envoy's `START_TIME` takes it, compiled. Time is UTC.
public struct TimeFormat: Sendable {
    private enum Part: Sendable {
        case literal([UInt8])
        case year, yearOfCentury, month, day, daySpaced, hour, hour12, minute, second, dayOfYear
        case weekday, weekdayShort, monthName, monthShort, meridiem
        case epochSeconds
        /// So many digits of the second's fraction, 1...9; `isSeconds`: with the seconds before them.
        case fraction(digits: Int, withSeconds: Bool)
    }

    private let parts: [Part]

    /// `%Y-%m-%dT%H:%M:%E3SZ`, what stands without a format.
    public static let iso8601 = TimeFormat(parts: [
        .year, .literal([0x2d]), .month, .literal([0x2d]), .day, .literal([0x54]), .hour, .literal([0x3a]),
        .minute, .literal([0x3a]), .fraction(digits: 3, withSeconds: true), .literal([0x5a]),
    ])

    private init(parts: [Part]) { self.parts = parts }

    /// nil for a conversion that is not known.
    public init?(_ format: String) {
        var parts: [Part] = []
        var literal: [UInt8] = []
        let bytes = Array(format.utf8)
        var index = 0
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "%") else {
                literal.append(bytes[index])
                index += 1
                continue
            }
            guard let (part, length) = Self.conversion(bytes[(index + 1)...]) else { return nil }
            index += 1 + length
            if case .literal(let text) = part {
                literal += text
                continue
            }
            if !literal.isEmpty { parts.append(.literal(literal)) }
            literal = []
            switch length {
            case 1 where bytes[index - 1] == UInt8(ascii: "T"):
                parts += [.hour, .literal([0x3a]), .minute, .literal([0x3a]), .second]
            case 1 where bytes[index - 1] == UInt8(ascii: "F"):
                parts += [.year, .literal([0x2d]), .month, .literal([0x2d]), .day]
            default: parts.append(part)
            }
        }
        if !literal.isEmpty { parts.append(.literal(literal)) }
        self.parts = parts
    }

    /// What stands behind a `%`, and how many bytes of it belong to it.
    private static func conversion(_ bytes: ArraySlice<UInt8>) -> (Part, Int)? {
        guard let first = bytes.first else { return nil }
        let second = bytes.dropFirst().first
        switch first {
        case UInt8(ascii: "1")...UInt8(ascii: "9") where second == UInt8(ascii: "f"):
            return (.fraction(digits: Int(first) - 0x30, withSeconds: false), 2)
        case UInt8(ascii: "E"):
            guard let digits = second, bytes.dropFirst(2).first == UInt8(ascii: "S") else { return nil }
            if digits == UInt8(ascii: "*") { return (.fraction(digits: 9, withSeconds: true), 3) }
            guard digits >= UInt8(ascii: "1"), digits <= UInt8(ascii: "9") else { return nil }
            return (.fraction(digits: Int(digits) - 0x30, withSeconds: true), 3)
        default:
            return simple(first).map { ($0, 1) }
        }
    }

    private static func simple(_ letter: UInt8) -> Part? {
        switch letter {
        case UInt8(ascii: "Y"): .year
        case UInt8(ascii: "y"): .yearOfCentury
        case UInt8(ascii: "m"): .month
        case UInt8(ascii: "d"): .day
        case UInt8(ascii: "e"): .daySpaced
        case UInt8(ascii: "H"): .hour
        case UInt8(ascii: "I"): .hour12
        case UInt8(ascii: "M"): .minute
        case UInt8(ascii: "S"): .second
        case UInt8(ascii: "j"): .dayOfYear
        case UInt8(ascii: "A"): .weekday
        case UInt8(ascii: "a"): .weekdayShort
        case UInt8(ascii: "B"): .monthName
        case UInt8(ascii: "b"), UInt8(ascii: "h"): .monthShort
        case UInt8(ascii: "p"): .meridiem
        case UInt8(ascii: "s"): .epochSeconds
        case UInt8(ascii: "f"): .fraction(digits: 9, withSeconds: false)
        // Both are split into their parts by the caller.
        case UInt8(ascii: "T"), UInt8(ascii: "F"): .hour
        case UInt8(ascii: "z"): .literal(Array("+0000".utf8))
        case UInt8(ascii: "Z"): .literal(Array("UTC".utf8))
        case UInt8(ascii: "n"): .literal([0x0a])
        case UInt8(ascii: "t"): .literal([0x09])
        case UInt8(ascii: "%"): .literal([0x25])
        default: nil
        }
    }

    /// `nanoseconds` since 1970; earlier times are shown as 1970.
    public func append(_ nanoseconds: Int64, to text: inout [UInt8]) {
        var line = LogBuffer(capacity: 64)
        append(nanoseconds, to: &line)
        text.append(line.view)
    }

    func append(_ nanoseconds: Int64, to text: inout LogBuffer) {
        let time = CivilTime(nanoseconds: max(0, nanoseconds))
        for part in parts {
            switch part {
            case .literal(let bytes): for byte in bytes { text.append(byte) }
            case .year: text.append(decimal: time.year, width: 4)
            case .yearOfCentury: text.append(decimal: time.year % 100, width: 2)
            case .month: text.append(decimal: time.month, width: 2)
            case .day: text.append(decimal: time.day, width: 2)
            case .daySpaced: text.append(decimal: time.day, width: 2, pad: 0x20)
            case .hour: text.append(decimal: time.hour, width: 2)
            case .hour12: text.append(decimal: (time.hour + 11) % 12 + 1, width: 2)
            case .minute: text.append(decimal: time.minute, width: 2)
            case .second: text.append(decimal: time.second, width: 2)
            case .dayOfYear: text.append(decimal: time.dayOfYear, width: 3)
            case .weekday: text.append(literal: CivilTime.weekdays(time.weekday))
            case .weekdayShort: text.append(literal: CivilTime.weekdays(time.weekday), prefix: 3)
            case .monthName: text.append(literal: CivilTime.months(time.month))
            case .monthShort: text.append(literal: CivilTime.months(time.month), prefix: 3)
            case .meridiem: text.append(literal: time.hour < 12 ? "AM" : "PM")
            case .epochSeconds: text.append(decimal: time.epochSeconds)
            case .fraction(let digits, let withSeconds):
                if withSeconds {
                    text.append(decimal: time.second, width: 2)
                    text.append(0x2e)
                }
                var fraction = time.fraction
                for _ in digits..<9 { fraction /= 10 }
                text.append(decimal: fraction, width: digits)
            }
        }
    }
}

/// A time of day in UTC.
struct CivilTime {
    let year, month, day, hour, minute, second, weekday, dayOfYear: Int
    /// Nanoseconds.
    let fraction: Int
    let epochSeconds: Int

    init(nanoseconds: Int64) {
        epochSeconds = Int(nanoseconds / 1_000_000_000)
        fraction = Int(nanoseconds % 1_000_000_000)
        let (days, rest) = (epochSeconds / 86_400, epochSeconds % 86_400)
        (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60)
        // 1970-01-01 was a Thursday.
        weekday = (days + 4) % 7
        // Years are counted from March, so that the leap day is the last one (proleptic Gregorian calendar).
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayFromMarch = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayFromMarch + 2) / 153
        day = dayFromMarch - (153 * monthFromMarch + 2) / 5 + 1
        month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        dayOfYear = month <= 2 ? dayFromMarch - 305 : dayFromMarch + 60 + (isLeap ? 1 : 0)
    }

    static func weekdays(_ number: Int) -> StaticString {
        switch number {
        case 0: "Sunday"
        case 1: "Monday"
        case 2: "Tuesday"
        case 3: "Wednesday"
        case 4: "Thursday"
        case 5: "Friday"
        default: "Saturday"
        }
    }

    static func months(_ number: Int) -> StaticString {
        switch number {
        case 1: "January"
        case 2: "February"
        case 3: "March"
        case 4: "April"
        case 5: "May"
        case 6: "June"
        case 7: "July"
        case 8: "August"
        case 9: "September"
        case 10: "October"
        case 11: "November"
        default: "December"
        }
    }
}
