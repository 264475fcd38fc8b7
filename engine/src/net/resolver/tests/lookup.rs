//! Looking names up: what is kept, shared, searched for and never asked.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures_lite::future::zip;

use super::*;

#[test]
fn both_families_are_asked_once_from_fresh_ports_with_fresh_ids_and_kept() {
    let server = NameServer::simple();
    let asked = Arc::clone(&server.asked);
    run(setup(&[&server], ""), |rt, resolver| async move {
        for _ in 0..3 {
            let (v4, v6) = zip(
                resolver.lookup_family("www.example", Family::V4, soon(&rt)),
                resolver.lookup_family("WWW.example", Family::V6, soon(&rt)),
            )
            .await;
            assert_eq!(
                (v4.as_deref(), v6.as_deref()),
                (
                    Ok(&[address(Family::V4)][..]),
                    Ok(&[address(Family::V6)][..])
                )
            );
        }
        let asked = asked.lock().expect("the list").clone();
        let [first, second] = &asked[..] else {
            panic!("two questions, not {asked:?}")
        };
        assert_ne!(first.family, second.family);
        assert_ne!(first.from, second.from);
        assert_ne!(first.id, second.id, "once in 65,536 runs");
        assert_eq!((first.edns_bytes, first.over_tcp), (Some(1232), false));
    });
}

#[test]
fn one_question_serves_all_who_wait_even_when_the_first_has_gone() {
    let server = NameServer::start(|asked, reply| {
        thread::sleep(Duration::from_millis(50));
        vec![with_address(asked, reply, 60)]
    });
    let asked = Arc::clone(&server.asked);
    run(setup(&[&server], ""), |rt, resolver| async move {
        {
            let mut first = pin!(resolver.lookup_family("www.example", Family::V4, soon(&rt)));
            let polled = poll_fn(|context| Poll::Ready(first.as_mut().poll(context))).await;
            assert!(polled.is_pending());
        }
        assert_eq!(resolver.questions(), 1, "it goes on without its caller");
        let answered = Rc::new(Cell::new(0));
        for _ in 0..10 {
            let (rt, resolver, answered) = (rt.clone(), resolver.clone(), Rc::clone(&answered));
            let deadline = soon(&rt);
            rt.spawn(async move {
                let found = resolver
                    .lookup_family("www.example", Family::V4, deadline)
                    .await;
                assert_eq!(found.as_deref(), Ok(&[address(Family::V4)][..]));
                answered.set(answered.get() + 1);
            });
        }
        while answered.get() < 10 {
            rt.sleep_until(rt.now() + Duration::from_millis(5)).await;
        }
        assert_eq!(asked.lock().expect("the list").len(), 1);
    });
}

#[test]
fn a_silent_server_is_bounded_and_other_names_do_not_notice() {
    let server = NameServer::start(|asked, reply| {
        if asked.name == "silent.example" {
            Vec::new()
        } else {
            vec![with_address(asked, reply, 60)]
        }
    });
    run(
        setup(&[&server], "options timeout:1 attempts:1\n"),
        |rt, resolver| async move {
            let start = rt.now();
            let mut silent = pin!(resolver.lookup_family("silent.example", Family::V4, soon(&rt)));
            assert!(
                poll_fn(|context| Poll::Ready(silent.as_mut().poll(context)))
                    .await
                    .is_pending()
            );
            for number in 0..10 {
                let name = format!("n{number}.example");
                resolver
                    .lookup_family(&name, Family::V4, soon(&rt))
                    .await
                    .expect("an address");
            }
            assert!(
                rt.now() - start < Duration::from_millis(900),
                "{:?}",
                rt.now() - start
            );
            assert_eq!(silent.await, Err(ResolveError::Timeout));
            assert!(
                rt.now() - start < Duration::from_secs(2),
                "{:?}",
                rt.now() - start
            );

            let early = rt.now() + Duration::from_millis(100);
            rt.sleep_until(rt.now() + limits::DNS_FAILURE_TTL).await;
            let again = resolver
                .lookup_family(
                    "silent.example",
                    Family::V6,
                    early + limits::DNS_FAILURE_TTL,
                )
                .await;
            assert_eq!(
                again,
                Err(ResolveError::Timeout),
                "the caller's own deadline"
            );
            assert_eq!(resolver.questions(), 1);
        },
    );
}

#[test]
fn a_ttl_is_kept_and_zero_is_not() {
    let server = NameServer::start(|asked, reply| {
        let ttl = if asked.name.starts_with("zero") { 0 } else { 1 };
        vec![with_address(asked, reply, ttl)]
    });
    let asked = Arc::clone(&server.asked);
    run(setup(&[&server], ""), |rt, resolver| async move {
        let count = |name: &str| {
            asked
                .lock()
                .expect("the list")
                .iter()
                .filter(|asked| asked.name == name)
                .count()
        };
        for _ in 0..3 {
            resolver
                .lookup_family("zero.example", Family::V4, soon(&rt))
                .await
                .expect("an address");
            resolver
                .lookup_family("one.example", Family::V4, soon(&rt))
                .await
                .expect("an address");
        }
        assert_eq!((count("zero.example"), count("one.example")), (3, 1));
        rt.sleep_until(rt.now() + Duration::from_millis(1010)).await;
        resolver
            .lookup_family("one.example", Family::V4, soon(&rt))
            .await
            .expect("an address");
        assert_eq!(count("one.example"), 2);
    });
}

/// Answers from a table of names; what is not in it does not exist.
fn zone(names: &'static [(&'static str, &'static [Family])]) -> NameServer {
    NameServer::start(move |asked, reply| {
        let Some((_, families)) = names.iter().find(|(name, _)| *name == asked.name) else {
            return vec![with_code(reply, ResponseCode::NXDomain)];
        };
        if families.contains(&asked.family) {
            return vec![with_address(asked, reply, 60)];
        }
        vec![reply.to_vec().expect("a reply")]
    })
}

#[test]
fn the_search_list_is_followed_until_a_name_exists() {
    let server = zone(&[("host.b.example", &[Family::V4])]);
    run(
        setup(&[&server], "search a.example b.example c.example\n"),
        |rt, resolver| async move {
            let found = resolver.lookup_family("host", Family::V4, soon(&rt)).await;
            assert_eq!(found.as_deref(), Ok(&[address(Family::V4)][..]));
            let found = resolver.lookup_family("host.", Family::V4, soon(&rt)).await;
            assert_eq!(found, Err(ResolveError::NotFound), "absolute");
            let found = resolver
                .lookup_family("nobody", Family::V4, soon(&rt))
                .await;
            assert_eq!(found, Err(ResolveError::NotFound));
        },
    );
    let names: Vec<String> = server
        .names()
        .into_iter()
        .filter(|(_, family)| *family == Family::V4)
        .map(|(name, _)| name)
        .collect();
    let expected = [
        "host.a.example",
        "host.b.example",
        "host",
        "nobody.a.example",
        "nobody.b.example",
        "nobody.c.example",
        "nobody",
    ];
    assert_eq!(names, expected);
}

#[test]
fn both_families_settle_on_the_same_name() {
    let server = zone(&[
        ("host.a.example", &[Family::V4]),
        ("host.b.example", &[Family::V4, Family::V6]),
    ]);
    run(
        setup(&[&server], "search a.example b.example\n"),
        |rt, resolver| async move {
            for _ in 0..2 {
                let (v6, v4) = zip(
                    resolver.lookup_family("host", Family::V6, soon(&rt)),
                    resolver.lookup_family("host", Family::V4, soon(&rt)),
                )
                .await;
                assert_eq!(v4.as_deref(), Ok(&[address(Family::V4)][..]));
                assert_eq!(
                    v6,
                    Err(ResolveError::NoAddress),
                    "the address of another host"
                );
            }
        },
    );
    assert!(
        server
            .names()
            .iter()
            .all(|(name, _)| name == "host.a.example"),
        "{:?}",
        server.names()
    );
}

#[test]
fn a_server_failure_does_not_end_the_search_but_is_reported() {
    let server = NameServer::start(|asked, reply| {
        let code = match asked.name.as_str() {
            "host.b.example" => return vec![with_address(asked, reply, 60)],
            "host.a.example" | "other.a.example" => ResponseCode::ServFail,
            _ => ResponseCode::NXDomain,
        };
        vec![with_code(reply, code)]
    });
    run(
        setup(&[&server], "search a.example b.example\n"),
        |rt, resolver| async move {
            let found = resolver.lookup_family("host", Family::V4, soon(&rt)).await;
            assert_eq!(found.as_deref(), Ok(&[address(Family::V4)][..]));
            let found = resolver.lookup_family("other", Family::V4, soon(&rt)).await;
            assert_eq!(
                found,
                Err(ResolveError::ServerFailure),
                "it might exist there"
            );
        },
    );
}

#[test]
fn some_names_are_never_asked_for() {
    let server = NameServer::simple();
    let setup = setup(&[&server], "search a.example\n");
    std::fs::write(&setup.hosts, "192.0.2.7 Web.Example web\n").expect("a temporary file");
    run(setup, |rt, resolver| async move {
        let look = async |name: &str, family| {
            let found = resolver.lookup_family(name, family, soon(&rt)).await;
            found.map(|addresses| {
                addresses
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
            })
        };
        for name in ["localhost", "LocalHost.", "a.b.localhost"] {
            assert_eq!(
                look(name, Family::V4).await,
                Ok(vec!["127.0.0.1".into()]),
                "{name}"
            );
            assert_eq!(
                look(name, Family::V6).await,
                Ok(vec!["::1".into()]),
                "{name}"
            );
        }
        for name in ["web", "WEB.example", "web.example."] {
            assert_eq!(
                look(name, Family::V4).await,
                Ok(vec!["192.0.2.7".into()]),
                "{name}"
            );
            assert_eq!(
                look(name, Family::V6).await,
                Err(ResolveError::NoAddress),
                "{name}"
            );
        }
        for name in ["a.invalid", "invalid.", "abc.onion"] {
            assert_eq!(
                look(name, Family::V4).await,
                Err(ResolveError::NotFound),
                "{name}"
            );
        }
        let too_long = "x".repeat(64);
        for name in ["", ".", "a..b", "a b", &too_long] {
            assert_eq!(
                look(name, Family::V4).await,
                Err(ResolveError::InvalidName),
                "{name:?}"
            );
        }
    });
    assert_eq!(server.names(), []);
}

#[test]
fn questions_are_bounded() {
    let server = NameServer::start(|_, _| Vec::new());
    run(
        setup(&[&server], "options timeout:1 attempts:1\n"),
        |rt, resolver| async move {
            for number in 0..=limits::DNS_QUESTIONS_MAX {
                let name = format!("n{number}.example");
                let mut lookup = pin!(resolver.lookup_family(&name, Family::V4, soon(&rt)));
                let polled = poll_fn(|context| Poll::Ready(lookup.as_mut().poll(context))).await;
                let expected = if number < limits::DNS_QUESTIONS_MAX {
                    Poll::Pending
                } else {
                    Poll::Ready(Err(ResolveError::Overloaded))
                };
                assert_eq!(polled, expected, "{number}");
            }
            assert_eq!(resolver.questions(), limits::DNS_QUESTIONS_MAX);
        },
    );
}

#[test]
fn silence_about_one_family_ends_the_search_of_the_other() {
    let server = NameServer::start(|asked, reply| match (asked.name.as_str(), asked.family) {
        ("host.a.example", Family::V4) => Vec::new(),
        ("host.a.example", Family::V6) => vec![with_code(reply, ResponseCode::NXDomain)],
        _ => vec![with_address(asked, reply, 60)],
    });
    let configuration = "search a.example b.example\noptions timeout:1 attempts:1\n";
    run(
        setup(&[&server], configuration),
        |rt, resolver| async move {
            let found = resolver.lookup_family("host", Family::V6, soon(&rt)).await;
            assert_eq!(
                found,
                Err(ResolveError::Timeout),
                "what it has may be the host that is meant"
            );
        },
    );
}
