//! Talking to name servers: failing over, TCP, forged and broken answers.

use futures_lite::future::zip;
use hickory_proto::rr::Name;
use hickory_proto::rr::rdata::CNAME;

use super::*;

#[test]
fn ids_and_ports_do_not_follow_from_each_other() {
    let server = NameServer::simple();
    let asked = Arc::clone(&server.asked);
    run(setup(&[&server], ""), |rt, resolver| async move {
        for number in 0..64 {
            let name = format!("n{number}.example");
            resolver
                .lookup_family(&name, Family::V4, soon(&rt))
                .await
                .expect("an address");
        }
        let asked = asked.lock().expect("the list").clone();
        let distinct = |of: fn(&Asked) -> u16| {
            let mut values: Vec<u16> = asked.iter().map(of).collect();
            values.sort_unstable();
            values.dedup();
            values.len()
        };
        assert!(distinct(|asked| asked.id) > 60, "{asked:?}");
        assert!(distinct(|asked| asked.from.port()) > 32, "{asked:?}");
        let steps = asked
            .windows(2)
            .filter(|pair| pair[1].id.wrapping_sub(pair[0].id) == 1)
            .count();
        assert!(steps < 4, "{asked:?}");
    });
}

#[test]
fn a_truncated_answer_is_asked_for_over_tcp() {
    let server = NameServer::start(|asked, mut reply| {
        reply.metadata.truncation = !asked.over_tcp;
        vec![with_address(asked, reply, 60)]
    });
    let asked = Arc::clone(&server.asked);
    run(setup(&[&server], ""), |rt, resolver| async move {
        let found = resolver
            .lookup_family("www.example", Family::V4, soon(&rt))
            .await;
        assert_eq!(found.as_deref(), Ok(&[address(Family::V4)][..]));
        let asked = asked.lock().expect("the list").clone();
        assert_eq!(
            asked.iter().map(|asked| asked.over_tcp).collect::<Vec<_>>(),
            [false, true]
        );
    });
}

#[test]
fn tcp_that_ends_early_or_is_truncated_too_is_an_error() {
    for (code, expected) in [
        (None, ResolveError::ServerFailure),
        (Some(()), ResolveError::Malformed),
    ] {
        let server = NameServer::start(move |asked, mut reply| {
            reply.metadata.truncation = true;
            match code {
                None if asked.over_tcp => Vec::new(),
                _ => vec![with_address(asked, reply, 60)],
            }
        });
        run(setup(&[&server], ""), move |rt, resolver| async move {
            assert_eq!(
                resolver
                    .lookup_family("www.example", Family::V4, soon(&rt))
                    .await,
                Err(expected)
            );
        });
    }
}

/// Replies that do not answer the question `reply` stands for.
fn forged(reply: &Message, count: usize) -> Vec<Vec<u8>> {
    let forge = |number: usize| {
        let mut forged = reply.clone();
        match number % 4 {
            0 => forged.metadata.id = forged.metadata.id.wrapping_add(1),
            1 => forged.queries[0].name = Name::from_ascii("other.example.").expect("a name"),
            2 => forged.queries[0].query_type = RecordType::TXT,
            _ => return b"nonsense".to_vec(),
        }
        with_code(forged, ResponseCode::NXDomain)
    };
    (0..count).map(forge).collect()
}

#[test]
fn a_few_wrong_answers_are_ignored() {
    let server = NameServer::start(|asked, reply| {
        let mut replies = forged(&reply, limits::DNS_FOREIGN_DATAGRAMS_MAX as usize - 1);
        replies.push(with_address(asked, reply, 60));
        replies
    });
    let asked = Arc::clone(&server.asked);
    run(setup(&[&server], ""), |rt, resolver| async move {
        let found = resolver
            .lookup_family("www.example", Family::V4, soon(&rt))
            .await;
        assert_eq!(found.as_deref(), Ok(&[address(Family::V4)][..]));
        assert_eq!(asked.lock().expect("the list").len(), 1);
    });
}

#[test]
fn many_wrong_answers_move_the_question_to_tcp() {
    let server = NameServer::start(|asked, reply| {
        if asked.over_tcp {
            return vec![with_address(asked, reply, 60)];
        }
        forged(&reply, limits::DNS_FOREIGN_DATAGRAMS_MAX as usize)
    });
    run(setup(&[&server], ""), |rt, resolver| async move {
        let found = resolver
            .lookup_family("www.example", Family::V4, soon(&rt))
            .await;
        assert_eq!(found.as_deref(), Ok(&[address(Family::V4)][..]));
    });
}

#[test]
fn wrong_answers_do_not_extend_the_deadline() {
    let server = NameServer::start(|_, reply| forged(&reply, 3));
    let start = Instant::now();
    run(
        setup(&[&server], "options timeout:1 attempts:1\n"),
        |rt, resolver| async move {
            let found = resolver
                .lookup_family("www.example", Family::V4, soon(&rt))
                .await;
            assert_eq!(found, Err(ResolveError::Timeout));
        },
    );
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn the_next_server_is_asked_after_silence_failure_and_nonsense() {
    type Reply = fn(&Asked, Message) -> Vec<Vec<u8>>;
    let table: [(&str, Reply); 5] = [
        ("silence", |_, _| Vec::new()),
        ("SERVFAIL", |_, reply| {
            vec![with_code(reply, ResponseCode::ServFail)]
        }),
        ("REFUSED", |_, reply| {
            vec![with_code(reply, ResponseCode::Refused)]
        }),
        ("NOTIMP", |_, reply| {
            vec![with_code(reply, ResponseCode::NotImp)]
        }),
        ("a broken answer", |asked, reply| {
            let mut whole = with_address(asked, reply, 60);
            whole.pop();
            vec![whole]
        }),
    ];
    for (what, reply) in table {
        let (first, second) = (NameServer::start(reply), NameServer::simple());
        let start = Instant::now();
        run(
            setup(&[&first, &second], "options timeout:1\n"),
            move |rt, resolver| async move {
                let found = resolver
                    .lookup_family("www.example", Family::V4, soon(&rt))
                    .await;
                assert_eq!(found.as_deref(), Ok(&[address(Family::V4)][..]), "{what}");
            },
        );
        assert!(!first.asked().is_empty(), "{what}");
        assert_eq!(second.asked().len(), 1, "{what}");
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{what}: {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn a_name_that_does_not_exist_is_not_asked_of_the_next_server() {
    let first = NameServer::start(|_, reply| vec![with_code(reply, ResponseCode::NXDomain)]);
    let second = NameServer::simple();
    run(setup(&[&first, &second], ""), |rt, resolver| async move {
        for _ in 0..2 {
            let found = resolver
                .lookup_family("www.example", Family::V4, soon(&rt))
                .await;
            assert_eq!(found, Err(ResolveError::NotFound));
        }
    });
    assert_eq!(
        (first.asked().len(), second.asked().len()),
        (1, 0),
        "kept, for a second at least"
    );
}

#[test]
fn attempts_are_counted_and_the_last_reply_is_reported() {
    let server = NameServer::start(|_, reply| vec![with_code(reply, ResponseCode::ServFail)]);
    run(
        setup(&[&server], "options attempts:4\n"),
        |rt, resolver| async move {
            let found = resolver
                .lookup_family("www.example", Family::V4, soon(&rt))
                .await;
            assert_eq!(found, Err(ResolveError::ServerFailure));
        },
    );
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn nobody_listening_is_known_at_once() {
    let mut setup = setup(&[], "");
    let (tcp, udp) = sockets();
    setup.servers.push(udp.local_addr().expect("an address"));
    drop((tcp, udp));
    let start = Instant::now();
    run(setup, |rt, resolver| async move {
        let found = resolver
            .lookup_family("www.example", Family::V4, soon(&rt))
            .await;
        assert_eq!(found, Err(ResolveError::ServerFailure));
    });
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_server_that_does_not_know_edns_is_asked_without() {
    let server = NameServer::start(|asked, mut reply| {
        if asked.edns_bytes.is_some() {
            reply.queries.clear();
            return vec![with_code(reply, ResponseCode::FormErr)];
        }
        vec![with_address(asked, reply, 60)]
    });
    run(setup(&[&server], ""), |rt, resolver| async move {
        let found = resolver
            .lookup_family("www.example", Family::V4, soon(&rt))
            .await;
        assert_eq!(found.as_deref(), Ok(&[address(Family::V4)][..]));
    });
    let announced: Vec<Option<u16>> = server
        .asked()
        .iter()
        .map(|asked| asked.edns_bytes)
        .collect();
    assert_eq!(announced, [Some(1232), None]);
}

#[test]
fn no_longer_datagram_is_asked_for_than_a_buffer_holds() {
    for (buffer_bytes, announced) in [
        (512, None),
        (513, Some(513)),
        (1000, Some(1000)),
        (1 << 20, Some(1232)),
    ] {
        let server = NameServer::simple();
        let setup = ResolverSetup {
            buffer_bytes,
            ..setup(&[&server], "")
        };
        run(setup, |rt, resolver| async move {
            resolver
                .lookup_family("www.example", Family::V4, soon(&rt))
                .await
                .expect("an address");
        });
        assert_eq!(server.asked()[0].edns_bytes, announced, "{buffer_bytes}");
    }
}

#[test]
fn an_alias_without_an_address_or_in_a_circle_is_an_error() {
    let server = NameServer::start(|asked, mut reply| {
        let owner = reply.queries[0].name.clone();
        let target = if asked.name == "circle.example" {
            "circle.example."
        } else {
            "elsewhere.example."
        };
        let target = RData::CNAME(CNAME(Name::from_ascii(target).expect("a name")));
        reply.add_answer(Record::from_rdata(owner, 60, target));
        vec![reply.to_vec().expect("a reply")]
    });
    run(setup(&[&server], ""), |rt, resolver| async move {
        let circle = resolver
            .lookup_family("circle.example", Family::V4, soon(&rt))
            .await;
        assert_eq!(circle, Err(ResolveError::AliasLoop));
        let only = resolver
            .lookup_family("only.example", Family::V4, soon(&rt))
            .await;
        assert_eq!(only, Err(ResolveError::NoAddress));
    });
}

#[test]
fn a_server_that_stays_silent_is_asked_last() {
    let (first, second) = (NameServer::start(|_, _| Vec::new()), NameServer::simple());
    run(
        setup(&[&first, &second], "options timeout:1\n"),
        |rt, resolver| async move {
            let look = |name| resolver.lookup_family(name, Family::V4, soon(&rt));
            let (one, (two, three)) = zip(
                look("one.example"),
                zip(look("two.example"), look("three.example")),
            )
            .await;
            assert_eq!(
                (one.is_ok(), two.is_ok(), three.is_ok()),
                (true, true, true)
            );
            let start = rt.now();
            look("four.example").await.expect("an address");
            assert!(
                rt.now() - start < Duration::from_millis(900),
                "{:?}",
                rt.now() - start
            );
        },
    );
    assert_eq!((first.asked().len(), second.asked().len()), (3, 4));
}

#[test]
fn an_answer_clears_a_server_of_suspicion() {
    let first = NameServer::start(|asked, reply| {
        if asked.name.starts_with("silent") {
            Vec::new()
        } else {
            vec![with_address(asked, reply, 60)]
        }
    });
    let second = NameServer::simple();
    run(
        setup(&[&first, &second], "options timeout:1\n"),
        |rt, resolver| async move {
            let look = |name| resolver.lookup_family(name, Family::V4, soon(&rt));
            for (one, two, three) in [
                ("silent1", "silent2", "good1"),
                ("silent3", "silent4", "good2"),
            ] {
                zip(look(one), look(two)).await.0.expect("an address");
                look(three).await.expect("an address");
            }
        },
    );
    assert_eq!(
        (first.asked().len(), second.asked().len()),
        (6, 4),
        "the first is asked first, always"
    );
}
