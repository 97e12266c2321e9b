-- Routes MR and RTSTRUCT of every stable study to the node; Orthanc knows it as "cptdn" (DicomModalities).
function OnStableStudy(study, tags, metadata)
  for _, series in ipairs(ParseJson(RestApiGet('/studies/' .. study))['Series']) do
    local found = ParseJson(RestApiGet('/series/' .. series))
    local modality = found['MainDicomTags']['Modality']
    if modality == 'MR' or modality == 'RTSTRUCT' then
      for _, instance in ipairs(found['Instances']) do SendToModality(instance, 'cptdn') end
    end
  end
end
