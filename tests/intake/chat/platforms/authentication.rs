//! Which calls are verified, and how their secrets are rotated.

use local_aws::Action;

use super::super::count;
use crate::platforms::{BY_NOTICE, Clicked, DRIVERS, Driver, Typed, aws, notices, verification};
use crate::slack::VERIFICATION_ARN;
use crate::{dingtalk, feishu};

fn typed(driver: &'static Driver) -> Typed {
    Typed::new(driver, "detach sg-a ep-a eu-west-1")
}

#[tokio::test]
async fn call_that_the_platform_did_not_sign_is_unauthorized() {
    for driver in DRIVERS {
        let deployment = driver.deployment().await;
        let click = Clicked::approve(driver, &driver.button(1));
        let mut calls = vec![
            typed(driver).signed(driver.other_secret, 0),
            click.signed(driver.other_secret, 0),
            typed(driver).signed(driver.command_secret, 40),
            click.signed(driver.click_secret, 40),
            click.signed(driver.click_secret, -250),
        ];
        for (whole, headers) in
            [(typed(driver).call(), driver.command_headers), (click.call(), driver.click_headers)]
        {
            for name in headers {
                calls.push(whole.clone().without(name));
            }
            let [timestamp, .., signature] = headers else { panic!("a time and a signature") };
            calls.push(whole.clone().with(signature, "x"));
            calls.push(whole.clone().with(timestamp, "x"));
            let later = whole.headers[*timestamp].to_str().unwrap().parse::<u64>().unwrap() + 1;
            calls.push(whole.with(timestamp, &later.to_string()));
        }
        for call in calls {
            driver.assert_unauthorized(&deployment.call(call).await);
        }
        assert_eq!((deployment.messages().len(), notices(&deployment)), (0, vec![]));
        for seconds in [-230, 20] {
            let call = typed(driver).signed(driver.command_secret, seconds);
            assert_eq!(deployment.call(call).await.status, 200, "{}", driver.platform.name());
        }
    }
}

#[tokio::test]
async fn call_of_another_platform_is_unauthorized() {
    for driver in DRIVERS {
        let deployment = driver.deployment().await;
        for other in DRIVERS.into_iter().filter(|other| other.platform != driver.platform) {
            for mut call in [typed(other).call(), Clicked::approve(other, &other.button(1)).call()] {
                call.path = format!("/chat/{}", driver.platform.name());
                driver.assert_unauthorized(&deployment.call(call).await);
            }
        }
        assert_eq!(deployment.messages().len(), 0);
    }
}

#[tokio::test]
async fn wrong_signatures_cause_one_read() {
    for driver in DRIVERS {
        let deployment = driver.deployment().await;
        for _ in 0..10 {
            let call = typed(driver).signed(driver.other_secret, 0);
            driver.assert_unauthorized(&deployment.call(call).await);
        }
        let reads = count(&deployment, Action::GetSecretValue);
        assert_eq!(reads, 3 + 1, "{}: at start, and after the first mismatch", driver.platform.name());
    }
}

#[tokio::test]
async fn secrets_are_rotated_without_a_deployment() {
    let both = verification(&[
        dingtalk::member(&[(dingtalk::OTHER_SECRET, dingtalk::OTHER_SECRET)]),
        feishu::member(&[(feishu::OTHER_KEY, feishu::OTHER_TOKEN)]),
    ]);
    for driver in BY_NOTICE {
        let deployment = driver.deployment().await;
        deployment.aws.secrets().put(VERIFICATION_ARN, &both);
        let click = Clicked::approve(driver, &driver.button(1));
        for call in [
            typed(driver).signed(driver.other_secret, 0),
            typed(driver).call(),
            click.signed(driver.other_secret, 0),
            click.call(),
        ] {
            assert_eq!(deployment.call(call).await.status, 200, "{}", driver.platform.name());
        }
        // Two commands and one approval, which was repeated.
        assert_eq!((deployment.messages().len(), count(&deployment, Action::GetSecretValue)), (3, 4));
    }
}

#[tokio::test]
async fn platform_without_a_secret_verifies_nothing() {
    for driver in BY_NOTICE {
        let aws = aws().await;
        aws.secrets().put(VERIFICATION_ARN, "{}");
        let deployment = driver.deployment_on(aws, &[]).await;
        let click = Clicked::approve(driver, &driver.button(1));
        for call in [typed(driver).call(), click.call()] {
            driver.assert_unauthorized(&deployment.call(call).await);
        }
        assert_eq!(deployment.messages().len(), 0);
    }
}

#[tokio::test]
async fn verified_call_of_another_form_is_invalid() {
    for (driver, calls) in [
        (
            &dingtalk::DRIVER,
            ["", "[]", "{}", "\u{0}", "{\"msgId\":1}"]
                .map(|body| dingtalk::signed_message(dingtalk::call(body), dingtalk::APP_SECRET, 0)),
        ),
        (
            &feishu::DRIVER,
            ["", "[]", "{}", "\u{0}", "{\"schema\":\"2.0\"}"].map(|text| {
                let body = feishu::encrypted(text.as_bytes(), feishu::ENCRYPT_KEY);
                feishu::signed(feishu::call(body), feishu::ENCRYPT_KEY, 0)
            }),
        ),
    ] {
        let deployment = driver.deployment().await;
        for call in calls {
            deployment.call(call).await.assert_problem(400);
        }
        let other = Clicked { action: "other", ..Clicked::approve(driver, &driver.button(1)) };
        deployment.call(other.call()).await.assert_problem(400);
        assert_eq!((deployment.messages().len(), notices(&deployment)), (0, vec![]));
    }
}
