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

    /// A client got something to resume with, or a server gave something. Returns 1 to keep the reference.
    static let sessionMade: @convention(c) (OpaquePointer?, OpaquePointer?) -> CInt = { ssl, session in
        guard let session = unsafe session, let record = unsafe SessionRecord.of(ssl) else { return 0 }
        let core = unsafe record.pointee.context.core
        let terms = unsafe ResumptionTerms(
            conditions: core.conditions, validity: record.pointee.peerValidity)
        if core.traits.role == .server {
            unsafe limitLife(of: session, record.pointee)
            return unsafe core.sessions.store(session, terms: terms) ? 1 : 0
        }
        guard let cache = unsafe record.pointee.cache else { return 0 }
        unsafe cache.store(session, terms: terms, for: record.pointee.resumptionKey)
        return 1
    }

    /// A server is about to issue a ticket (TLS 1.3).
    static let ticketWanted: @convention(c) (OpaquePointer?, UnsafeMutableRawPointer?) -> CInt = { ssl, _ in
        guard let record = unsafe SessionRecord.of(ssl), let session = unsafe SSL_get_session(ssl) else {
            return 0
        }
        unsafe limitLife(of: session, record.pointee)
        return 1
    }

    /// A session's life ends with the peer's chain.
    private static func limitLife(of session: OpaquePointer, _ record: SessionRecord) {
        let max = record.context.core.traits.ticketLifetimeMax
        let (left, isEndless) = record.peerValidity.notAfter.subtractingReportingOverflow(record.now)
        _ = unsafe SSL_SESSION_set_timeout(session, Int(isEndless ? max : min(max, Swift.max(1, left))))
    }

    /// A client named a session of ours. Without an answer a full handshake follows.
    static let sessionNamed:
        @convention(c) (OpaquePointer?, UnsafePointer<UInt8>?, CInt, UnsafeMutablePointer<CInt>?) ->
            OpaquePointer? = { ssl, name, count, copies in
                // The reference is for OpenSSL.
                unsafe copies?.pointee = 0
                let bytes = unsafe UnsafeRawBufferPointer(start: name, count: Int(max(count, 0)))
                guard let record = unsafe SessionRecord.of(ssl), let name = unsafe SessionName(bytes)
                else { return nil }
                let core = unsafe record.pointee.context.core
                guard
                    let (session, terms) = unsafe core.sessions.session(
                        name, under: core.conditions, at: record.pointee.now)
                else { return nil }
                guard unsafe PeerVerification.isAcceptable(session, to: record.pointee.context) else {
                    unsafe SSL_SESSION_free(session)
                    return nil
                }
                unsafe record.pointee.peerValidity = terms.validity
                return unsafe session
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
