use super::Answer;
use crate::host::probes::{HttpAnswer, Network};
use crate::plan::HttpProbe;

/// Good when the status is one of those wanted and the body, if it matters, matches.
pub async fn attempt(network: &dyn Network, probe: &HttpProbe) -> Answer {
    match network.http(probe).await {
        Ok(answer) => judge(probe, &answer),
        Err(why) => Answer::NotYet(why),
    }
}

fn judge(probe: &HttpProbe, answer: &HttpAnswer) -> Answer {
    let status = answer.status;
    let wanted = match probe.status.as_slice() {
        [] => (200..300).contains(&status),
        list => list.contains(&status),
    };
    if !wanted {
        return Answer::NotYet(format!("status {status}"));
    }
    match &probe.body {
        Some(pattern) if !pattern.is_match(&String::from_utf8_lossy(&answer.body)) => {
            Answer::NotYet(format!(
                "status {status}, but the body does not match {pattern}"
            ))
        }
        _ => Answer::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::HttpAddress;

    fn probe(status: &[u16], body: Option<&str>) -> HttpProbe {
        HttpProbe {
            address: HttpAddress {
                url: "http://127.0.0.1/".into(),
                socket: None,
            },
            method: "GET".into(),
            headers: vec![],
            status: status.into(),
            body: body.map(|pattern| regex::Regex::new(pattern).unwrap()),
            insecure: false,
            ca: None,
        }
    }

    fn answer(status: u16, body: &str) -> HttpAnswer {
        HttpAnswer {
            status,
            headers: vec![],
            body: body.into(),
        }
    }

    #[test]
    fn any_2xx_is_good_by_default_and_nothing_else() {
        assert_eq!(judge(&probe(&[], None), &answer(204, "")), Answer::Good);
        assert_eq!(
            judge(&probe(&[], None), &answer(301, "")),
            Answer::NotYet("status 301".into())
        );
    }

    #[test]
    fn a_list_of_statuses_replaces_the_default() {
        assert_eq!(judge(&probe(&[401], None), &answer(401, "")), Answer::Good);
        assert_eq!(
            judge(&probe(&[401], None), &answer(200, "")),
            Answer::NotYet("status 200".into())
        );
    }

    #[test]
    fn the_body_must_match() {
        let probe = probe(&[], Some("\"ok\": *true"));
        assert_eq!(judge(&probe, &answer(200, "{\"ok\": true}")), Answer::Good);
        assert!(
            matches!(judge(&probe, &answer(200, "{}")), Answer::NotYet(why) if why.contains("does not match"))
        );
    }
}
