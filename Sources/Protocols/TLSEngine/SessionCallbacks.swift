import COpenSSL

/// What OpenSSL asks while it runs a session. The record of the session hangs on the `SSL` itself.
enum SessionCallbacks {
    /// A chain arrived: decides whether the peer may stay. Returns 1, or 0 with the reason set in the store,
    /// from which OpenSSL picks the alert.
    static let certificateReceived: @convention(c) (OpaquePointer?, UnsafeMutableRawPointer?) -> CInt = {
        store, _ in
        guard let store = unsafe store,
            let ssl = unsafe X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()),
            let record = unsafe SessionRecord.of(OpaquePointer(ssl))
        else { return 0 }
        return unsafe PeerVerification.verify(store, for: &record.pointee) ? 1 : 0
    }

    /// A client got something to resume with. Returns 1 to keep the reference.
    static let sessionMade: @convention(c) (OpaquePointer?, OpaquePointer?) -> CInt = { ssl, session in
        guard let session = unsafe session, let record = unsafe SessionRecord.of(ssl),
            let cache = unsafe record.pointee.cache
        else { return 0 }
        let conditions = unsafe record.pointee.context.core.conditions
        let terms = unsafe ResumptionTerms(conditions: conditions, validity: record.pointee.peerValidity)
        unsafe cache.store(session, terms: terms, for: record.pointee.resumptionKey)
        return 1
    }

    /// A server is about to issue a ticket: its life ends with the peer's chain, and it says under what it
    /// was made.
    static let ticketWanted: @convention(c) (OpaquePointer?, UnsafeMutableRawPointer?) -> CInt = { ssl, _ in
        guard let record = unsafe SessionRecord.of(ssl), let session = unsafe SSL_get_session(ssl) else {
            return 0
        }
        let core = unsafe record.pointee.context.core
        let validity = unsafe record.pointee.peerValidity
        let (left, isEndless) = unsafe validity.notAfter.subtractingReportingOverflow(record.pointee.now)
        let lifetime =
            isEndless ? core.traits.ticketLifetimeMax : min(core.traits.ticketLifetimeMax, max(1, left))
        _ = unsafe SSL_SESSION_set_timeout(session, Int(lifetime))
        let note = TicketNote(conditions: core.conditions, validity: validity).bytes
        return unsafe SSL_SESSION_set1_ticket_appdata(session, note, note.count)
    }

    /// A client showed a ticket. One that is refused leads to a full handshake.
    static let ticketShown:
        @convention(c) (
            OpaquePointer?, OpaquePointer?, UnsafePointer<UInt8>?, Int, SSL_TICKET_STATUS,
            UnsafeMutableRawPointer?
        ) -> SSL_TICKET_RETURN = { ssl, session, _, _, status, _ in
            guard status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW,
                let session = unsafe session,
                let record = unsafe SessionRecord.of(ssl),
                let terms = unsafe PeerVerification.termsForResuming(session, for: record.pointee)
            else { return SSL_TICKET_RETURN_IGNORE_RENEW }
            unsafe record.pointee.peerValidity = terms.validity
            return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW
        }

    /// A client named a server; any name is fine, and kept with the session.
    static let serverNamed:
        @convention(c) (OpaquePointer?, UnsafeMutablePointer<CInt>?, UnsafeMutableRawPointer?) -> CInt =
            { _, _, _ in SSL_TLSEXT_ERR_OK }

    /// A client offers protocols: our preference decides; without a match the connection goes on without.
    static let protocolsOffered:
        @convention(c) (
            OpaquePointer?, UnsafeMutablePointer<UnsafePointer<UInt8>?>?, UnsafeMutablePointer<UInt8>?,
            UnsafePointer<UInt8>?, UInt32, UnsafeMutableRawPointer?
        ) -> CInt = { ssl, chosen, chosenCount, offered, offeredCount, _ in
            guard let record = unsafe SessionRecord.of(ssl), let chosen = unsafe chosen,
                let chosenCount = unsafe chosenCount, let offered = unsafe offered
            else { return SSL_TLSEXT_ERR_NOACK }
            let list = unsafe UnsafeBufferPointer(start: offered, count: Int(offeredCount))
            let ours = unsafe record.pointee.context.core.protocolList
            guard let found = unsafe firstCommonProtocol(ours, list) else { return SSL_TLSEXT_ERR_NOACK }
            // The answer points into the client's list, which OpenSSL keeps until it has copied the answer.
            unsafe chosen.pointee = offered + found.lowerBound
            unsafe chosenCount.pointee = UInt8(found.count)
            return SSL_TLSEXT_ERR_OK
        }

    /// Where in `theirs` the first name of `ours` is that both lists have.
    private static func firstCommonProtocol(_ ours: [UInt8], _ theirs: UnsafeBufferPointer<UInt8>) -> Range<
        Int
    >? {
        var position = 0
        while position < ours.count {
            let name = ours[(position + 1)..<(position + 1 + Int(ours[position]))]
            var start = 0
            while start < theirs.count {
                let range = unsafe (start + 1)..<(start + 1 + Int(theirs[start]))
                guard range.upperBound <= theirs.count else { break }
                if unsafe name.elementsEqual(theirs[range]) { return range }
                start = range.upperBound
            }
            position = name.endIndex
        }
        return nil
    }
}

/// What a server writes into its tickets beside OpenSSL's own data.
struct TicketNote {
    let conditions: Digest
    let validity: Validity

    init(conditions: Digest, validity: Validity) { (self.conditions, self.validity) = (conditions, validity) }

    init?(_ bytes: UnsafeRawBufferPointer, conditions: Digest) {
        guard bytes.count == 48, unsafe bytes.prefix(32).elementsEqual(conditions.bytes) else { return nil }
        self.conditions = conditions
        validity = unsafe Validity(
            notBefore: bytes.loadUnaligned(fromByteOffset: 32, as: Int64.self),
            notAfter: bytes.loadUnaligned(fromByteOffset: 40, as: Int64.self))
    }

    var bytes: [UInt8] {
        unsafe conditions.bytes + withUnsafeBytes(of: validity.notBefore) { unsafe [UInt8]($0) }
            + withUnsafeBytes(of: validity.notAfter) { unsafe [UInt8]($0) }
    }
}
