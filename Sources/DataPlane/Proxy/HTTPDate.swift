import MeshPrimitives
import Reactor

/// The value of a `Date` field (RFC 9110 section 5.6.7), kept for as long as its second lasts.
@safe struct HTTPDate: ~Copyable {
    private var second = Int64.min
    private let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: 29)

    deinit { unsafe bytes.deallocate() }

    /// Valid until the next `refresh`, which makes it.
    var text: ByteView { unsafe ByteView(base: bytes, count: 29) }

    mutating func refresh(_ now: WallInstant) {
        let seconds = now.seconds
        guard seconds != second else { return }
        second = seconds
        let days = seconds / 86_400
        let rest = Int(seconds % 86_400)
        // Days to a date: Howard Hinnant's algorithm for the proleptic Gregorian calendar.
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = Int(dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
        let month = Int(shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9)
        let year = Int(yearOfEra + era * 400) + (month <= 2 ? 1 : 0)
        var position = 0
        func put(_ text: ByteView) {
            for index in text.indices { unsafe bytes[position + index] = text[index] }
            position += text.count
        }
        func put(_ number: Int, digits: Int) {
            var left = number
            for place in (0..<digits).reversed() {
                unsafe bytes[position + place] = UInt8(left % 10) + 0x30
                left /= 10
            }
            position += digits
        }
        put(ByteView("ThuFriSatSunMonTueWed")[Int(days % 7) * 3..<Int(days % 7) * 3 + 3])
        put(ByteView(", "))
        put(day, digits: 2)
        put(ByteView(" "))
        put(ByteView("JanFebMarAprMayJunJulAugSepOctNovDec")[(month - 1) * 3..<(month - 1) * 3 + 3])
        put(ByteView(" "))
        put(year, digits: 4)
        put(ByteView(" "))
        put(rest / 3600, digits: 2)
        put(ByteView(":"))
        put(rest / 60 % 60, digits: 2)
        put(ByteView(":"))
        put(rest % 60, digits: 2)
        put(ByteView(" GMT"))
    }
}
