//! Attach: what is refused, and what an accepted call can lead to.

use super::*;
use crate::{
    seed::{SecurityGroupRecord, SecurityGroupType},
    settings::AttachEffect,
};

const SPARE: &str = "EndpointId=ep-a&SecurityGroupId=sg-9";

#[test]
fn group_of_another_vpc_or_type_is_refused() {
    let of_vpc =
        |vpc: &str| SecurityGroupRecord { vpc_id: Some(vpc.to_owned()), ..SecurityGroupRecord::default() };
    let advanced = SecurityGroupRecord {
        security_group_type: SecurityGroupType::Enterprise,
        ..SecurityGroupRecord::default()
    };
    for (records, expected) in [
        (vec![], None),
        (vec![("sg-9", of_vpc("vpc-a"))], None),
        (vec![("sg-9", of_vpc("vpc-b"))], Some("SecurityGroupVpcMismatch")),
        (vec![("sg-9", advanced.clone())], Some("SecurityGroupTypeMismatch")),
        (vec![("sg-2", advanced.clone())], Some("SecurityGroupTypeMismatch")),
        (["sg-1", "sg-2", "sg-9"].map(|group| (group, advanced.clone())).to_vec(), None),
    ] {
        let mut seed = seed(|_| {});
        seed.endpoints[0].vpc_id = Some("vpc-a".to_owned());
        seed.security_group_records =
            records.into_iter().map(|(group, record)| (group.into(), record)).collect();
        let mut cloud = TestCloud(Cloud::new(seed.clone()).unwrap());
        assert_eq!(cloud.code(0, ATTACH, SPARE).as_deref(), expected, "{:?}", seed.security_group_records);
        assert_eq!(cloud.0.snapshot(at(0)).security_group_records, seed.security_group_records);
    }
}

#[test]
fn endpoint_without_a_group_accepts_none() {
    let mut cloud = cloud(|_| {});
    cloud.0.set_endpoint(Endpoint::new("eu-west-1", "ep-a", [""; 0]), at(0)).unwrap();
    assert_eq!(cloud.code(0, ATTACH, SPARE).as_deref(), Some("AddSecurityGroupNotSupportWhenHaveNoSg"));
}

#[test]
fn dry_run_of_an_attach_changes_nothing() {
    let mut cloud = cloud(|_| {});
    let before = cloud.0.snapshot(at(0));
    assert_eq!(cloud.code(0, ATTACH, &format!("{SPARE}&DryRun=true")).as_deref(), Some("DryRunOperation"));
    assert_eq!(cloud.0.snapshot(at(0)), before);
}

#[test]
fn accepted_attach_can_have_no_effect_or_fail() {
    let both = json!([["sg-1", "Attached"], ["sg-2", "Attached"]]);
    for (effect, fault) in
        [(AttachEffect::Nothing, None), (AttachEffect::Done, Some(Effect::AcceptedWithoutEffect))]
    {
        let mut without_effect = cloud(|settings| settings.attach_effect = effect);
        if let Some(fault) = fault {
            without_effect.0.inject(Fault::on(ATTACH, fault).next(1));
        }
        assert_eq!(without_effect.code(0, ATTACH, SPARE), None);
        assert_eq!((without_effect.groups(0), without_effect.status(0)), (both.clone(), "Active".to_owned()));
    }
    for (effect, fault) in
        [(AttachEffect::FailsLater, None), (AttachEffect::Done, Some(Effect::AcceptedThenFails))]
    {
        let mut failing = cloud(|settings| settings.attach_effect = effect);
        if let Some(fault) = fault {
            failing.0.inject(Fault::on(ATTACH, fault).next(1));
        }
        assert_eq!(failing.code(0, ATTACH, SPARE), None);
        assert_eq!(failing.groups(2)[2], json!(["sg-9", "Attaching"]));
        let mut restored = TestCloud(Cloud::new(failing.0.snapshot(at(2))).unwrap());
        for cloud in [&mut failing, &mut restored] {
            assert_eq!((cloud.groups(3), cloud.status(3)), (both.clone(), "Active".to_owned()));
        }
    }
}
